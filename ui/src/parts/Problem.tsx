// A failure: what, where, and the ways out. Also the same for failures of tasks.

import type { ReactNode } from 'react';
import { asProblem } from '../api/problem';
import { Command } from './Command';

/** A line of help; a command in it can be copied. `look: towpath quarantine show raw.weather` */
export function Help({ lines }: { lines: readonly string[] }) {
  if (lines.length === 0) return null;
  return (
    <ul className="help">
      {lines.map((line) => {
        const found = /^(?:(.*?): )?(towpath .+)$/.exec(line);
        return <li key={line}>{found && !line.includes('…') ? <>{found[1] && <span className="soft">{found[1]} </span>}<Command text={found[2] ?? ''} /></> : line}</li>;
      })}
    </ul>
  );
}

/** Text in which names stand between backticks. */
export function Ticks({ text }: { text: string }) {
  const parts = text.split('`');
  return <>{parts.map((part, index) => (index % 2 === 1 && index < parts.length - 1 ? <code key={index}>{part}</code> : part))}</>;
}

interface FailureBoxProps {
  title?: ReactNode;
  code?: string | undefined;
  message: string;
  help: readonly string[];
  isData?: boolean;
  children?: ReactNode;
}

export function FailureBox({ title, code, message, help, isData = false, children }: FailureBoxProps) {
  return (
    <div className={isData ? 'failure is-data' : 'failure'}>
      {title !== undefined && <div className="failure-title">{title}</div>}
      <p className="failure-message">
        <Ticks text={message} />
        {code !== undefined && <> <code className="soft">{code}</code></>}
      </p>
      <Help lines={help} />
      {children}
    </div>
  );
}

export function Problem({ error, again }: { error: unknown; again?: () => void }) {
  const problem = asProblem(error);
  return (
    <div role="alert">
      <FailureBox code={problem.code} message={problem.message} help={problem.help} title={problem.place}>
        {again && <button type="button" className="button" onClick={again}>Try again</button>}
      </FailureBox>
    </div>
  );
}
