// The views of a page as links: the view is part of the address.

import { Link } from '@tanstack/react-router';

export function Tabs({ label, current, tabs }: { label: string; current: string; tabs: readonly (readonly [view: string, title: string])[] }) {
  return (
    <nav className="tabs" aria-label={label}>
      {tabs.map(([view, title], index) => (
        <Link key={view} to="." search={((old: Record<string, unknown>) => ({ ...old, view: index === 0 ? undefined : view })) as never}
          replace resetScroll={false} className={view === current ? 'tab is-on' : 'tab'}
          aria-current={view === current ? 'true' : undefined} activeProps={{}}>
          {title}
        </Link>
      ))}
    </nav>
  );
}
