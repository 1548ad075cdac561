/** Which rows of a long list can be seen: the rest has no element. */

export interface RowWindow {
  readonly first: number;
  /** One past the last. */
  readonly end: number;
}

/** Rows beyond either edge, so that a quick scroll finds something there. */
const MARGIN_ROWS = 8;

export function rowWindow(scrollTop: number, height: number, rowHeight: number, rows: number): RowWindow {
  const first = Math.max(0, Math.floor(scrollTop / rowHeight) - MARGIN_ROWS);
  const end = Math.min(rows, Math.ceil((scrollTop + height) / rowHeight) + MARGIN_ROWS);
  return { first: Math.min(first, end), end };
}

/** Where a key takes the choice among `rows`; null for a key that is not for lists. */
export function moveBy(key: string, at: number, rows: number, page: number): number | null {
  const last = rows - 1;
  switch (key) {
    case 'ArrowDown':
      return Math.min(last, at + 1);
    case 'ArrowUp':
      return Math.max(0, at - 1);
    case 'PageDown':
      return Math.min(last, at + page);
    case 'PageUp':
      return Math.max(0, at - page);
    case 'Home':
      return 0;
    case 'End':
      return last;
    default:
      return null;
  }
}
