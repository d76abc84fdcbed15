// The beginning: styles, theme, who uses the browser, the stream of events, and then the pages.

import './styles/fonts.css';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/shell.css';
import './styles/pages.css';
import './styles/state.css';
import { QueryClient, QueryClientProvider } from '@tanstack/react-query';
import { RouterProvider } from '@tanstack/react-router';
import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { followEvents } from './api/events';
import { bringEvents } from './api/live';
import { ApiProblem } from './api/problem';
import { onSession, currentSession } from './api/session';
import { createAppRouter } from './router';
import { Gate } from './shell/Gate';
import { applyTheme } from './shell/theme';

/** A failure that asking again may mend. */
const mayPass = (error: unknown) => error instanceof ApiProblem && (error.status === 0 || error.status >= 502);

const queries = new QueryClient({
  defaultOptions: {
    queries: { staleTime: 10_000, gcTime: 30 * 60_000, retry: (tries, error) => tries < 2 && mayPass(error) },
    mutations: { retry: false },
  },
});
const router = createAppRouter();

applyTheme();
followEvents();
bringEvents(queries);
// Who logs out leaves nothing behind.
onSession(() => {
  if (currentSession() === null) queries.clear();
});

const root = document.getElementById('root');
if (!root) throw new Error('index.html has no #root');
createRoot(root).render(
  <StrictMode>
    <QueryClientProvider client={queries}>
      <Gate>
        <RouterProvider router={router} />
      </Gate>
    </QueryClientProvider>
  </StrictMode>,
);
