// Why a task is in its state, what waits for it, and what one can do.

import { useQuery } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { whyQuery } from '../../api/queries';
import { taskShown } from '../../model/state';
import { Loaded } from '../../parts/Page';
import { Help, Ticks } from '../../parts/Problem';
import { State } from '../../parts/State';

export function Why({ task, pipeline }: { task: string; pipeline: string }) {
  const query = useQuery(whyQuery(task));
  return (
    <section className="why" aria-label={`Why ${task}`}>
      <Loaded query={query} lines={3}>
        {(why) => (
          <>
            <h2>{why.task} {why.state !== null && <State state={why.interrupted ? 'interrupted' : taskShown({ state: why.state })} />}</h2>
            <dl>
              <dt>Because</dt>
              <dd>{why.because.map((one) => <p key={one}><Ticks text={one} /></p>)}</dd>
              {why.behind.length > 0 && <dt>Behind it</dt>}
              {why.behind.length > 0 && (
                <dd>
                  {why.behind.map((one) => (
                    <Link key={one} to="/pipelines/$name" params={{ name: pipeline }} search={{ view: 'graph', task: one }} replace resetScroll={false}>{one}</Link>
                  ))}
                </dd>
              )}
              {why.run !== null && <dt>In its last run</dt>}
              {why.run !== null && <dd><Link to="/runs/$id" params={{ id: why.run }} search={{ task: why.task }}>{why.run}</Link></dd>}
              <dt>You can</dt>
              <dd><Help lines={why.you_can} /></dd>
            </dl>
          </>
        )}
      </Loaded>
    </section>
  );
}
