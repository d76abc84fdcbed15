import { expect, test } from 'vitest';
import { messagesOf } from './messages';

test('messages come in any pieces', () => {
  const text = 'id: 1-2-0\r\nevent: begin\r\ndata: {}\r\n\r\n: keep-alive\n\nid: 1-3-0\ndata: {"a":\ndata: 1}\n\nid: 1-4';
  const { messages, rest } = messagesOf(text);
  expect(messages).toEqual([{ id: '1-2-0', event: 'begin', data: '{}' }, { id: '1-3-0', data: '{"a":\n1}' }]);
  expect(rest).toBe('id: 1-4');
  let [found, left]: [number, string] = [0, ''];
  for (const letter of `${text}\n\n`) {
    const next = messagesOf(left + letter);
    found += next.messages.length;
    left = next.rest;
  }
  expect([found, left]).toEqual([3, '']);
});
