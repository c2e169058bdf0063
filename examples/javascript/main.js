/** Greet somebody, more than once if they are hard of hearing. */
export function hello(name = "world", times = 1) {
  console.log(`greeting ${name}`);
  return { greeting: `${Array(times).fill("hello").join(", ")}, ${name}` };
}
