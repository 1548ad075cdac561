/** What a topic was before this page was opened: the columns of `api/history`. */

import { parseObject } from './protocol';
import type { Sample } from './series';

/** So long the live line waits for what was before it. */
const PATIENCE_MS = 2_000;
/** An hour has 3,600 seconds, and history no more than one point in each. */
const POINTS = 4_000;

/** The mean of every point, ascending by time; null for what are no columns. */
export function parsePast(text: string): readonly Sample[] | null {
  const columns = parseObject(text);
  const times: unknown = columns?.['time'];
  const means: unknown = columns?.['mean'];
  if (!isNumbers(times) || !isNumbers(means) || times.length !== means.length) return null;
  return times.map((time, index) => ({ time, value: means[index] ?? Number.NaN }));
}

/** What a topic was in the last hour, by the server's clock; nothing where nobody recorded it or we may not know. */
export async function fetchPast(root: URL, topic: string): Promise<readonly Sample[]> {
  const url = new URL('api/history', root);
  url.search = new URLSearchParams({ topic, points: String(POINTS) }).toString();
  try {
    const answer = await fetch(url, { cache: 'no-store', signal: AbortSignal.timeout(PATIENCE_MS) });
    return (answer.ok ? parsePast(await answer.text()) : null) ?? [];
  } catch {
    return []; // the line goes on without it
  }
}

function isNumbers(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'number');
}
