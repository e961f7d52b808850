// What a thread took, as the account of the server has it: all branches, and what is not loaded.
import type { Fetch } from "./rest";

/** Costs are decimal text, so that nothing is rounded on the way. */
export interface UsageSums {
  readonly requests: number;
  /** How many have no price: they are not in the cost. */
  readonly unpriced: number;
  readonly runs: number;
  readonly input_tokens: number;
  readonly output_tokens: number;
  readonly cost_usd: string;
}

export interface ThreadUsage {
  readonly total: UsageSums;
  readonly models: readonly { readonly model: string; readonly sums: UsageSums }[];
}

interface Answer {
  readonly total: UsageSums;
  readonly rows: readonly (UsageSums & { readonly group: { readonly model: string } })[];
}

export async function loadThreadUsage(fetch: Fetch, threadId: string): Promise<ThreadUsage> {
  const { total, rows } = (await fetch({ method: "GET", path: `/api/usage?thread_id=${threadId}&by=model` })) as Answer;
  return { total, models: rows.map((sums) => ({ model: sums.group.model, sums })) };
}
