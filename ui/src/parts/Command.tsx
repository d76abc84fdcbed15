// The command that does the same in a terminal. A click copies it.

import { useState } from 'react';
import { currentSession } from '../api/session';

/** The environment that commands use when none is named. */
const DEFAULT_ENVIRONMENT = 'dev';

/** The command as it is to be typed here: with the environment, if it is not the usual one. */
export function inEnvironment(command: string): string {
  const environment = currentSession()?.environment ?? DEFAULT_ENVIRONMENT;
  const needsIt = environment !== DEFAULT_ENVIRONMENT && command.startsWith('towpath ') && !command.includes('--env');
  return needsIt ? `${command} --env ${environment}` : command;
}

/** Pages without TLS have no `navigator.clipboard`; there a selected field is copied. */
async function toClipboard(text: string): Promise<void> {
  const clipboard = navigator.clipboard as Clipboard | undefined;
  if (clipboard) return clipboard.writeText(text);
  const field = document.createElement('textarea');
  field.value = text;
  document.body.append(field);
  field.select();
  const isCopied = document.execCommand('copy');
  field.remove();
  if (!isCopied) throw new Error('the browser did not copy');
}

export function useCopy(): { copied: string; copy: (text: string) => void } {
  const [copied, setCopied] = useState('');
  const copy = (text: string) => {
    const show = (word: string) => {
      setCopied(word);
      setTimeout(() => setCopied(''), 1500);
    };
    toClipboard(text).then(() => show('copied'), () => show('not copied'));
  };
  return { copied, copy };
}

export function Command({ text }: { text: string }) {
  const { copied, copy } = useCopy();
  const command = inEnvironment(text);
  return (
    <button type="button" className="command" title="Copy this command" onClick={() => copy(command)}>
      <span className="command-sign" aria-hidden="true">$</span>
      <code>{command}</code>
      <span className="command-copied" role="status">{copied}</span>
    </button>
  );
}
