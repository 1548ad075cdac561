/** The shared worker: all tabs of the page that one browser has open for one user. */

import { type Port, Switchboard } from './switchboard';

const SWEEP_MS = 30_000;

const scope = self as unknown as { onconnect: ((event: { readonly ports: readonly Port[] }) => void) | null };
const board = new Switchboard(
  (url) => new WebSocket(url),
  () => performance.now(),
);

scope.onconnect = ({ ports }) => {
  for (const port of ports) board.connect(port);
};
setInterval(() => {
  board.sweep();
}, SWEEP_MS);
