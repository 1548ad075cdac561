/** Where in the page we are, as the address's hash says it: `#/topics/fieldgate/boiler`. */

export type View = 'devices' | 'topics' | 'chart';

export interface Route {
  readonly view: View;
  /** The topic that is open in this view; "" for none. */
  readonly topic: string;
}

export function parseRoute(hash: string): Route {
  const [, view = '', ...levels] = hash.split('/');
  if (view !== 'topics' && view !== 'chart') return { view: 'devices', topic: '' };
  return { view, topic: levels.map(decodeLevel).join('/') };
}

export function routeHash(view: View, topic = ''): string {
  return topic === '' ? `#/${view}` : `#/${view}/${topic.split('/').map(encodeURIComponent).join('/')}`;
}

/** A hand-typed `%` that is no escape stands for itself. */
function decodeLevel(level: string): string {
  try {
    return decodeURIComponent(level);
  } catch {
    return level;
  }
}
