// Around each page: where one can go, whether the page is live, and the keys.

import { useIsFetching } from '@tanstack/react-query';
import { Link, Outlet } from '@tanstack/react-router';
import { useState } from 'react';
import { useLive, type LiveState } from '../api/events';
import { logOut, useMay, useSession } from '../api/session';
import { Dialog } from '../parts/Dialog';
import { Problem } from '../parts/Problem';
import { Keys, useKeys } from './Keys';
import { Mark } from './Mark';
import { Search } from './Search';
import { nextTheme, theme } from './theme';

const PLACES = [
  ['/', 'Home'], ['/pipelines', 'Pipelines'], ['/runs', 'Runs'], ['/tables', 'Tables'], ['/quarantine', 'Quarantine'],
  ['/schedules', 'Schedules'],
] as const;

const LIVE: Record<LiveState, string> = {
  live: 'live', connecting: 'connecting', lost: 'connection lost, trying again', off: 'not live',
};

function Live() {
  const live = useLive();
  return (
    <p className={`live is-${live}`} role="status">
      <span className="live-sign" aria-hidden="true" />
      {LIVE[live]}
    </p>
  );
}

function ThemeButton() {
  const [chosen, setChosen] = useState(theme);
  return (
    <button type="button" className="quiet" onClick={() => setChosen(nextTheme())} title="Change the theme">
      Theme: {chosen}
    </button>
  );
}

export function Shell() {
  const session = useSession();
  const may = useMay();
  const fetching = useIsFetching();
  const [isSearching, setSearching] = useState(false);
  const [isHelping, setHelping] = useState(false);
  const [failed, setFailed] = useState<unknown>();
  useKeys({ search: () => setSearching(true), help: () => setHelping(true) });
  const places = may.admin ? [...PLACES, ['/tokens', 'Tokens'] as const] : PLACES;
  return (
    <div className="shell">
      <a className="skip" href="#main">Skip to the page</a>
      <header className="side">
        <div className="side-top">
          <Link to="/" className="brand">
            <Mark />
            <span className="brand-name">{session?.project ?? 'Towpath'}</span>
            <span className="brand-environment">{session?.environment}</span>
          </Link>
          <button type="button" className="search-button" onClick={() => setSearching(true)}>
            <span>Search</span> <kbd>/</kbd>
          </button>
        </div>
        <nav className="places" aria-label="Pages">
          {places.map(([to, title]) => (
            <Link key={to} to={to} className="place" activeOptions={{ exact: to === '/', includeSearch: false }}>{title}</Link>
          ))}
        </nav>
        <div className="side-end">
          <Live />
          <ThemeButton />
          <button type="button" className="quiet keys-button" onClick={() => setHelping(true)}>Keys <kbd>?</kbd></button>
          <button type="button" className="quiet" onClick={() => logOut().catch(setFailed)} title={session ? `${session.name}, scope ${session.scope}` : undefined}>
            Log out
          </button>
        </div>
      </header>
      <main id="main" tabIndex={-1} data-fetching={fetching > 0}>
        <Outlet />
      </main>
      <Dialog title="You are still logged in" isOpen={failed !== undefined} onClose={() => setFailed(undefined)}>
        <h2>You are still logged in</h2>
        <Problem error={failed} />
      </Dialog>
      <Search isOpen={isSearching} onClose={() => setSearching(false)} />
      <Keys isOpen={isHelping} onClose={() => setHelping(false)} />
    </div>
  );
}
