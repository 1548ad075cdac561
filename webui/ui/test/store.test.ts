import { expect, test } from 'vitest';
import type { Message } from '../src/protocol';
import { type Change, Store } from '../src/store';

/** A store whose animation frames come when asked for. */
function stage(limits = { topics: 100, characters: 1_000 }): {
  store: Store;
  frame: () => void;
  frames: () => number;
  changes: Change[];
} {
  let due: (() => void) | null = null;
  let asked = 0;
  const store = new Store((flush) => {
    due = flush;
    asked += 1;
  }, limits);
  const changes: Change[] = [];
  store.subscribe((change) => changes.push(change));
  changes.length = 0;
  const frame = (): void => {
    due?.();
    due = null;
  };
  return { store, frame, frames: () => asked, changes };
}

let seq = 0;
function message(topic: string, payload: string, more: Partial<Message> = {}): Message {
  seq += 1;
  return { topic, payload, time: seq, seq, ...more };
}

test('a burst of messages is one change in one frame', () => {
  const { store, frame, frames, changes } = stage();
  store.apply([message('a', '1'), message('b', '2')]);
  store.apply([message('a', '3')]);
  expect(changes).toEqual([]);
  expect(frames()).toBe(1);
  frame();
  expect(changes).toEqual([{ topics: new Set(['a', 'b']), shape: true, all: false }]);
  expect(store.get('a')?.payload).toBe('3');
});

test('a value that changes is no change of shape; one that goes is', () => {
  const { store, frame, changes } = stage();
  store.apply([message('a', '1')]);
  frame();
  store.apply([message('a', '2')]);
  frame();
  store.apply([message('a', '', { gone: true })]);
  frame();
  expect(changes.map(({ shape }) => shape)).toEqual([true, false, true]);
  expect(store.size).toBe(0);
});

test('a topic that goes without having been there wakes nobody', () => {
  const { store, frames } = stage();
  store.apply([message('a', '', { gone: true })]);
  expect(frames()).toBe(0);
});

test('at the bound new topics are counted and not kept, known ones go on', () => {
  const { store } = stage({ topics: 2, characters: 1_000 });
  store.apply([message('a', '1'), message('b', '1'), message('c', '1'), message('a', '2')]);
  expect([...store.topics()]).toEqual(['a', 'b']);
  expect(store.get('a')?.payload).toBe('2');
  expect(store.notKept).toBe(1);
});

test('past the bound of characters a topic stays listed without its payload', () => {
  const { store } = stage({ topics: 10, characters: 8 });
  store.apply([message('a', '12345'), message('b', '67890')]);
  expect(store.get('b')).toMatchObject({ omitted: true, payload: '' });
  store.apply([message('a', '1'), message('b', '67890')]);
  expect(store.get('b')).toMatchObject({ omitted: false, payload: '67890' });
});

test('emptied it tells everybody to look at everything again', () => {
  const { store, frame, changes } = stage();
  store.apply([message('a', '1')]);
  store.clear();
  store.apply([message('b', '1')]);
  frame();
  expect(changes).toEqual([{ topics: new Set(), shape: true, all: true }]);
  expect([...store.topics()]).toEqual(['b']);
});

test('topics that come and go behind a hidden tab do not pile up', () => {
  const { store, frame, changes } = stage({ topics: 3, characters: 1_000 });
  for (let count = 0; count < 50; count += 1) {
    store.apply([message(`t${count}`, '1'), message(`t${count}`, '', { gone: true })]);
  }
  frame();
  expect(changes).toEqual([{ topics: new Set(), shape: true, all: true }]);
});

test('a newcomer is told to look at everything, and can leave', () => {
  const { store, frame } = stage();
  const changes: Change[] = [];
  const leave = store.subscribe((change) => changes.push(change));
  expect(changes).toEqual([{ topics: new Set(), shape: true, all: true }]);
  leave();
  store.apply([message('a', '1')]);
  frame();
  expect(changes).toHaveLength(1);
});
