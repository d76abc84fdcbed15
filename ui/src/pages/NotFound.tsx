// What an address shows that has no page, and a page that broke.

import { Page } from '../parts/Page';
import { Problem } from '../parts/Problem';

export function NotFound() {
  return (
    <Page title="There is no such page" command="towpath serve">
      <p>The address {location.pathname} has no page. The search (<kbd>/</kbd>) finds pipelines, tables and runs.</p>
    </Page>
  );
}

export function PageFailed({ error, reset }: { error: unknown; reset: () => void }) {
  return (
    <Page title="This page failed" command="towpath runs">
      <Problem error={error} again={reset} />
    </Page>
  );
}
