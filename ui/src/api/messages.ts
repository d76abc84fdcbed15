// The text form of server-sent events.

/** One message of a stream of server-sent events. */
export interface Message {
  id?: string;
  event?: string;
  data: string;
}

/** The whole messages at the beginning of a text, and the rest. */
export function messagesOf(text: string): { messages: Message[]; rest: string } {
  const pieces = text.replaceAll('\r\n', '\n').split('\n\n');
  const rest = pieces.pop() ?? '';
  const messages: Message[] = [];
  for (const piece of pieces) {
    const message: Message = { data: '' };
    const data: string[] = [];
    for (const line of piece.split('\n')) {
      const colon = line.indexOf(':');
      if (colon <= 0) continue;
      const value = line.slice(colon + 1).replace(/^ /, '');
      const name = line.slice(0, colon);
      if (name === 'data') data.push(value);
      else if (name === 'id' || name === 'event') message[name] = value;
    }
    message.data = data.join('\n');
    if (data.length > 0 || message.id !== undefined) messages.push(message);
  }
  return { messages, rest };
}
