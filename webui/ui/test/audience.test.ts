import { describe, expect, test } from 'vitest';
import { audience, parsePresence, touchesAudience } from '../src/audience';
import { type Message } from '../src/protocol';
import { Store } from '../src/store';

let seq = 0;

function message(topic: string, said: unknown): Message {
  const payload = typeof said === 'string' ? said : JSON.stringify(said);
  return { topic, payload, time: 1, seq: (seq += 1) };
}

function storeOf(...messages: readonly Message[]): Store {
  const store = new Store((flush) => {
    flush();
  });
  store.apply(messages);
  return store;
}

test('web servers that are online add up, and each name counts once', () => {
  const store = storeOf(
    message('fieldgate/bridge/web/hall', { state: 'online', sessions: 3, users: ['wall', 'ada'] }),
    message('fieldgate/bridge/web/yard', { state: 'online', sessions: 1, users: ['ada'] }),
    message('fieldgate/bridge/web/gone', { state: 'offline', sessions: 7, users: ['eve'] }),
    message('fieldgate/bridge/web/hall/sync', { state: 'online', sessions: 9, users: [] }),
    message('other/bridge/web/hall', { state: 'online', sessions: 9, users: [] }),
  );
  expect(audience('fieldgate', store)).toEqual({ sessions: 4, users: ['ada', 'wall'] });
});

test.each(['', 'online', '[]', '{"state":"online"}', '{"state":"online","sessions":-1,"users":7}'])(
  'what is no presence counts nobody: %s',
  (payload) => {
    expect(parsePresence(payload)).toEqual({ sessions: 0, users: [] });
  },
);

test('names that are no text are left out', () => {
  expect(parsePresence('{"state":"online","sessions":2,"users":["a",1,null]}')).toEqual({ sessions: 2, users: ['a'] });
});

describe('only a change of presence makes it look again', () => {
  test.each([
    [['fieldgate/bridge/web/hall'], false, true],
    [['fieldgate/boiler/temperature'], false, false],
    [[], true, true],
  ])('%s', (topics, all, expected) => {
    expect(touchesAudience('fieldgate', { topics: new Set(topics), shape: false, all })).toBe(expected);
  });
});
