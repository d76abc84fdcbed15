// The pages and their addresses. A page is loaded when it is first opened. What filters a page is in its address.

import {
  createRootRoute, createRoute, createRouter, lazyRouteComponent, type RouterHistory,
} from '@tanstack/react-router';
import { Home } from './pages/home/Home';
import { NotFound, PageFailed } from './pages/NotFound';
import { Shell } from './shell/Shell';

const root = createRootRoute({ component: Shell, notFoundComponent: NotFound });

type Search = Record<string, unknown>;
const text = (search: Search, name: string) => {
  const value = search[name];
  return typeof value === 'string' || typeof value === 'number' ? { [name]: String(value) } : {};
};
/** The members of the address that a page knows; all others are dropped. */
const members = <K extends string>(...names: readonly K[]) => (search: Search): { [N in K]?: string } =>
  Object.assign({}, ...names.map((name) => text(search, name)));

const home = createRoute({ getParentRoute: () => root, path: '/', component: Home });
const pipelines = createRoute({
  getParentRoute: () => root, path: '/pipelines', validateSearch: members('find'),
  component: lazyRouteComponent(() => import('./pages/pipelines/Pipelines'), 'Pipelines'),
});
const pipeline = createRoute({
  getParentRoute: () => root, path: '/pipelines/$name', validateSearch: members('view', 'task'),
  component: lazyRouteComponent(() => import('./pages/pipeline/Pipeline'), 'Pipeline'),
});
const runs = createRoute({
  getParentRoute: () => root, path: '/runs', validateSearch: members('pipeline', 'state'),
  component: lazyRouteComponent(() => import('./pages/runs/Runs'), 'Runs'),
});
const run = createRoute({
  getParentRoute: () => root, path: '/runs/$id', validateSearch: members('view', 'task', 'level', 'find', 'line'),
  component: lazyRouteComponent(() => import('./pages/run/Run'), 'Run'),
});
const tables = createRoute({
  getParentRoute: () => root, path: '/tables', validateSearch: members('find'),
  component: lazyRouteComponent(() => import('./pages/tables/Tables'), 'Tables'),
});
const table = createRoute({
  getParentRoute: () => root, path: '/tables/$name', validateSearch: members('view', 'column'),
  component: lazyRouteComponent(() => import('./pages/table/Table'), 'Table'),
});
const quarantine = createRoute({
  getParentRoute: () => root, path: '/quarantine',
  component: lazyRouteComponent(() => import('./pages/quarantine/Quarantine'), 'Quarantine'),
});
const rejected = createRoute({
  getParentRoute: () => root, path: '/quarantine/$name', validateSearch: members('status'),
  component: lazyRouteComponent(() => import('./pages/quarantine/RejectedRows'), 'RejectedRows'),
});
const schedules = createRoute({
  getParentRoute: () => root, path: '/schedules',
  component: lazyRouteComponent(() => import('./pages/schedules/Schedules'), 'Schedules'),
});
const tokens = createRoute({
  getParentRoute: () => root, path: '/tokens',
  component: lazyRouteComponent(() => import('./pages/tokens/Tokens'), 'Tokens'),
});

const tree = root.addChildren([
  home, pipelines, pipeline, runs, run, tables, table, quarantine, rejected, schedules, tokens,
]);

export function createAppRouter(history?: RouterHistory) {
  return createRouter({
    routeTree: tree,
    defaultPreload: 'intent',
    defaultErrorComponent: PageFailed,
    scrollRestoration: true,
    // All members of addresses are texts: `?task=extract/raw.orders`, not JSON.
    parseSearch: (search) => Object.fromEntries(new URLSearchParams(search)),
    stringifySearch: (search) => {
      const pairs = Object.entries(search).filter(([, value]) => value !== undefined && value !== '');
      const query = new URLSearchParams(pairs.map(([name, value]) => [name, String(value)])).toString();
      return query === '' ? '' : `?${query.replaceAll('%2F', '/')}`;
    },
    ...(history ? { history } : {}),
  });
}

declare module '@tanstack/react-router' {
  interface Register {
    router: ReturnType<typeof createAppRouter>;
  }
}
