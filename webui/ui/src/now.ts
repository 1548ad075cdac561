/** The page's clocks: the server's time, and a beat of one second. */

import { ServerClock } from './clock';

export const serverClock = new ServerClock();

/** The server's time now. */
export function serverNow(): number {
  return serverClock.at(Date.now());
}

const tickers = new Set<() => void>();

/** Call `tick` every second while the tab can be seen. Returns the way out. */
export function everySecond(tick: () => void): () => void {
  tickers.add(tick);
  return () => tickers.delete(tick);
}

setInterval(() => {
  if (document.visibilityState === 'visible') for (const tick of tickers) tick();
}, 1_000);
