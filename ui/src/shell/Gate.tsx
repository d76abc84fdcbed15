// Before the pages: who uses this browser. Without a session there is only the page to log in.

import { useEffect, useState, type FormEvent, type ReactNode } from 'react';
import { asProblem } from '../api/problem';
import { findSession, logIn, useSession } from '../api/session';
import { Command } from '../parts/Command';
import { Problem } from '../parts/Problem';
import { Mark } from './Mark';

let asked = false;

export function Gate({ children }: { children: ReactNode }) {
  const session = useSession();
  const [failed, setFailed] = useState<unknown>();
  const ask = () => {
    setFailed(undefined);
    findSession().catch(setFailed);
  };
  useEffect(() => {
    if (!asked) ask();
    asked = true;
  }, []);
  if (failed !== undefined) return <main className="gate"><Problem error={failed} again={ask} /></main>;
  // For some milliseconds nobody knows; an empty page is calmer than one that is replaced at once.
  if (session === undefined) return null;
  return session === null ? <LogIn /> : children;
}

function LogIn() {
  const [failed, setFailed] = useState<unknown>();
  const [isBusy, setBusy] = useState(false);
  useEffect(() => {
    document.title = 'Log in · Towpath';
  }, []);
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const token = String(new FormData(event.currentTarget).get('token')).trim();
    setBusy(true);
    setFailed(undefined);
    logIn({ token }).catch((error: unknown) => {
      setFailed(error);
      setBusy(false);
    });
  };
  return (
    <main className="gate">
      <Mark />
      <h1>Log in to Towpath</h1>
      <form onSubmit={submit}>
        <label htmlFor="token">Token</label>
        <div className="field">
          <input id="token" name="token" type="password" autoComplete="off" required autoFocus spellCheck={false}
            aria-describedby={failed === undefined ? undefined : 'login-failed'} placeholder="towpath_…" />
          <button type="submit" className="button is-first" disabled={isBusy}>Log in</button>
        </div>
      </form>
      {failed !== undefined && <p id="login-failed" role="alert" className="login-failed">{asProblem(failed).message}</p>}
      <p className="soft">A token is made on the server, and shown once:</p>
      <Command text="towpath token create me --scope operate" />
    </main>
  );
}
