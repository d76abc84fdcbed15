// Tokens: who may ask the API?

import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query';
import { useState, type FormEvent } from 'react';
import { client, dataOf, type Schemas } from '../../api/client';
import { tokensQuery } from '../../api/queries';
import { useCopy } from '../../parts/Command';
import { DataTable, type Column } from '../../parts/DataTable';
import { Empty, Loaded, Page, Section } from '../../parts/Page';
import { Problem } from '../../parts/Problem';
import { Time } from '../../parts/Time';

type Token = Schemas['Token'];
const SCOPES = ['read', 'operate', 'admin'] as const;
const NONE = <span className="none">–</span>;

function Revoke({ name }: { name: string }) {
  const queries = useQueryClient();
  const revoke = useMutation({
    mutationFn: () => dataOf(client.POST('/api/v1/tokens/{name}/revoke', { params: { path: { name } }, body: {} })),
    onSettled: () => queries.invalidateQueries({ queryKey: ['tokens'] }),
  });
  return <button type="button" className="button is-small" disabled={revoke.isPending} onClick={() => revoke.mutate()}>Revoke<span className="unseen"> {name}</span></button>;
}

const COLUMNS: readonly Column<Token>[] = [
  { id: 'name', title: 'Token', isMain: true, by: (token) => token.name, cell: (token) => <strong data-row tabIndex={-1}>{token.name}</strong> },
  { id: 'scope', title: 'Scope', by: (token) => token.scope, cell: (token) => token.scope },
  { id: 'created', title: 'Created', isNumber: true, by: (token) => token.created_us, cell: (token) => (<Time us={token.created_us} />) },
  { id: 'by', title: 'By', by: (token) => token.by, cell: (token) => token.by ?? NONE },
  { id: 'revoked', title: 'Revoked', isNumber: true, by: (token) => token.revoked_us, cell: (token) => (token.revoked_us == null ? <Revoke name={token.name} /> : <Time us={token.revoked_us} />) },
];

function NewToken() {
  const queries = useQueryClient();
  const { copied, copy } = useCopy();
  const [made, setMade] = useState<string>();
  const create = useMutation({
    mutationFn: (body: Schemas['TokenOptions']) => dataOf(client.POST('/api/v1/tokens', { body })),
    onSuccess: (answer) => setMade(answer.token),
    onSettled: () => queries.invalidateQueries({ queryKey: ['tokens'] }),
  });
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    const scope = SCOPES.find((one) => one === form.get('scope')) ?? 'read';
    create.mutate({ name: String(form.get('name')).trim(), scope });
  };
  return (
    <>
      <form className="field" onSubmit={submit}>
        <input name="name" aria-label="Name of the new token" placeholder="Name" required pattern="[A-Za-z0-9_.\-]+" spellCheck={false} autoComplete="off" />
        <select name="scope" aria-label="Scope of the new token">{SCOPES.map((scope) => <option key={scope}>{scope}</option>)}</select>
        <button type="submit" className="button is-first" disabled={create.isPending}>Create</button>
      </form>
      {create.error && <Problem error={create.error} />}
      {made !== undefined && (
        <div className="made" role="status">
          <p>It is shown once. Copy it now; only its hash is stored.</p>
          <button type="button" className="command" onClick={() => copy(made)}><code>{made}</code><span className="command-copied">{copied || 'copy'}</span></button>
        </div>
      )}
    </>
  );
}

export function Tokens() {
  const query = useQuery(tokensQuery);
  return (
    <Page title="Tokens" command="towpath token ls" facts="Each holder of a token may ask the API and use these pages, within its scope.">
      <Loaded query={query}>
        {({ tokens }) => (tokens.length === 0 ? <Empty command="towpath token create NAME --scope read">There is no token.</Empty>
          : <DataTable label="Tokens" columns={COLUMNS} rows={tokens} rowKey={(token) => token.name} />)}
      </Loaded>
      <Section title="New token"><NewToken /></Section>
    </Page>
  );
}
