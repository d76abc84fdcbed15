// The frame of a page: its name, its state, its actions, and the command that does the same.

import { useEffect, type ReactNode } from 'react';
import type { UseQueryResult } from '@tanstack/react-query';
import { Command } from './Command';
import { Problem } from './Problem';

interface PageProps {
  title: string;
  /** Before the title: where the page belongs. */
  above?: ReactNode;
  /** Behind the title. */
  state?: ReactNode;
  /** One line of facts. */
  facts?: ReactNode;
  actions?: ReactNode;
  command: string;
  children: ReactNode;
}

export function Page({ title, above, state, facts, actions, command, children }: PageProps) {
  useEffect(() => {
    document.title = `${title} · Towpath`;
  }, [title]);
  return (
    <div className="page">
      <header className="page-head">
        {above !== undefined && <div className="page-above">{above}</div>}
        <div className="page-title">
          <h1>{title}</h1>
          {state}
          {actions !== undefined && <div className="page-actions">{actions}</div>}
        </div>
        {facts !== undefined && <p className="page-facts">{facts}</p>}
        <Command text={command} />
      </header>
      {children}
    </div>
  );
}

export function Section({ title, aside, children }: { title: string; aside?: ReactNode; children: ReactNode }) {
  return (
    <section className="section">
      <div className="section-head">
        <h2>{title}</h2>
        {aside !== undefined && <div className="section-aside">{aside}</div>}
      </div>
      {children}
    </section>
  );
}

/** What a place says that has nothing to show: one sentence, and the command that changes it. */
export function Empty({ children, command }: { children: ReactNode; command?: string }) {
  return (
    <div className="empty">
      <p>{children}</p>
      {command !== undefined && <Command text={command} />}
    </div>
  );
}

/** Lines that hold the place of what is coming. */
export function Skeleton({ lines = 3 }: { lines?: number }) {
  return (
    <div className="skeleton" role="status" aria-label="Loading">
      {Array.from({ length: lines }, (_, index) => <div key={index} className="skeleton-line" />)}
    </div>
  );
}

/** Shows data as soon as there is some, also old data while new is on its way; failures only without data. */
export function Loaded<T>({ query, lines, children }: { query: UseQueryResult<T>; lines?: number; children: (data: T) => ReactNode }) {
  if (query.data !== undefined) return <>{children(query.data)}</>;
  if (query.error) return <Problem error={query.error} again={() => void query.refetch()} />;
  return <Skeleton {...(lines === undefined ? {} : { lines })} />;
}

/** Under a list that has more entries than it shows. */
export function Cut() {
  return <p className="soft">There are more: only the first 2,000 are shown.</p>;
}
