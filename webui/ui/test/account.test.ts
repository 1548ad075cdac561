import { describe, expect, test } from 'vitest';
import { canLogIn, MAX_FILTERS, mayPublish, type Me, parseMe, watched } from '../src/account';

const WALL: Me = { user: 'wall', groups: [], subscribe: ['fieldgate/#'], publish: [] };

describe('who we are', () => {
  test('what the server says is understood', () => {
    expect(parseMe(JSON.stringify(WALL))).toEqual(WALL);
    expect(parseMe(JSON.stringify({ ...WALL, user: null, more: 1 }))).toEqual({ ...WALL, user: null });
  });

  test.each(['', '[]', '{}', '{"user":1,"groups":[],"subscribe":[],"publish":[]}', '{"user":"a"}', '<html>'])(
    '%s is nobody',
    (answer) => {
      expect(parseMe(answer)).toBeNull();
    },
  );

  test('only somebody without a login who may not do everything is offered one', () => {
    expect(canLogIn(WALL)).toBe(false);
    expect(canLogIn({ ...WALL, user: null })).toBe(true);
    expect(canLogIn({ ...WALL, user: null, groups: ['admin'] })).toBe(false);
  });
});

describe('what we may', () => {
  test('all that is allowed is watched, but for what is the broker’s own', () => {
    expect(watched(WALL)).toEqual(['fieldgate/#']);
    expect(watched({ ...WALL, subscribe: ['#', '$SYS/#'] })).toEqual(['#']);
    expect(watched({ ...WALL, subscribe: [] })).toEqual([]);
  });

  test('no more is watched than one subscription takes', () => {
    const many = Array.from({ length: MAX_FILTERS + 5 }, (_, n) => `a/${n}`);
    expect(watched({ ...WALL, subscribe: ['$SYS/#', ...many] })).toEqual(many.slice(0, MAX_FILTERS));
  });

  test('read-only users may publish nothing, others what their filters match', () => {
    expect(mayPublish(WALL, 'fieldgate/lamp/set')).toBe(false);
    const hand = { ...WALL, publish: ['fieldgate/+/set', 'fieldgate/+/set/#'] };
    expect(mayPublish(hand, 'fieldgate/lamp/set')).toBe(true);
    expect(mayPublish(hand, 'fieldgate/lamp/set/on')).toBe(true);
    expect(mayPublish(hand, 'fieldgate/lamp')).toBe(false);
  });
});
