export enum Politeness {
  Plain = "plain",
  High = "high",
}

export function word(politeness: Politeness): string {
  return politeness === Politeness.High ? "good day" : "hello";
}
