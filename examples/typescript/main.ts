import { Politeness, word } from "./words.ts";

interface Guest {
  name: string;
  politeness?: Politeness;
}

/** Greet a guest, as politely as is asked for. */
export async function hello({ name, politeness = Politeness.Plain }: Guest): Promise<{ greeting: string }> {
  return { greeting: `${word(politeness)}, ${name}` };
}
