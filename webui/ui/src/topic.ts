/** Topic names and filters, as far as a page needs them. */

export interface DeviceTopic {
  readonly device: string;
  /** The point; null for the device's own state topic. */
  readonly point: string | null;
}

/** Words that stand where a point would, and aren't one. */
const NOT_POINTS = new Set(['availability', 'set', 'get', 'result', 'backlog']);

/** `fieldgate/boiler/temperature` → boiler, temperature; null for what is no device's value. */
export function parseDeviceTopic(base: string, topic: string): DeviceTopic | null {
  if (!topic.startsWith(`${base}/`)) return null;
  const [device, point, ...more] = topic.slice(base.length + 1).split('/');
  if (!device || device === 'bridge' || more.length > 0) return null;
  if (point === undefined) return { device, point: null };
  return point === '' || NOT_POINTS.has(point) ? null : { device, point };
}

/** Whether an MQTT filter matches a topic name [MQTT-4.7]; `$…` needs its first level spelt out. */
export function matchesFilter(filter: string, topic: string): boolean {
  const wanted = filter.split('/');
  const levels = topic.split('/');
  if (topic.startsWith('$') && (wanted[0] === '#' || wanted[0] === '+')) return false;
  for (const [index, level] of wanted.entries()) {
    if (level === '#') return true;
    if (index >= levels.length) return false;
    if (level !== '+' && level !== levels[index]) return false;
  }
  return wanted.length === levels.length;
}

/** A search as typed: an MQTT filter where it holds a wildcard level, else words that all occur. */
export function searcher(query: string): (topic: string) => boolean {
  const typed = query.trim();
  if (typed === '') return () => true;
  if (typed.split('/').some((level) => level === '#' || level === '+')) {
    return (topic) => matchesFilter(typed, topic);
  }
  const words = typed.toLowerCase().split(/\s+/);
  return (topic) => {
    const name = topic.toLowerCase();
    return words.every((word) => name.includes(word));
  };
}
