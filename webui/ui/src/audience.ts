/** Who watches, from what each web server says on `<base>/bridge/web/<node>`. */

import { isObject, parseObject } from './protocol';
import type { Change, Store } from './store';

export interface Audience {
  /** Browsers and streams at all web servers of this broker. */
  readonly sessions: number;
  /** Those who have a name, each once. Whoever has none is only counted. */
  readonly users: readonly string[];
}

export function parsePresence(payload: string): Audience {
  const said = parseObject(payload);
  if (!isObject(said) || said['state'] !== 'online') return { sessions: 0, users: [] };
  const { sessions, users } = said;
  return {
    sessions: typeof sessions === 'number' && sessions > 0 ? Math.floor(sessions) : 0,
    users: Array.isArray(users) ? users.filter((user) => typeof user === 'string') : [],
  };
}

/** Whether a change may have to do with who watches. */
export function touchesAudience(base: string, change: Change): boolean {
  const prefix = `${base}/bridge/web/`;
  return change.all || [...change.topics].some((topic) => topic.startsWith(prefix));
}

export function audience(base: string, store: Store): Audience {
  const prefix = `${base}/bridge/web/`;
  const users = new Set<string>();
  let sessions = 0;
  for (const { topic, payload } of store.values()) {
    if (!topic.startsWith(prefix) || topic.includes('/', prefix.length)) continue;
    const here = parsePresence(payload);
    sessions += here.sessions;
    for (const user of here.users) users.add(user);
  }
  return { sessions, users: [...users].sort() };
}
