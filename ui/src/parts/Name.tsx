// A long name, which may break behind `_`, `.` and `/` only.

import { Fragment } from 'react';

export function Name({ text }: { text: string }) {
  const parts = text.split(/(?<=[_./])/);
  return <>{parts.map((part, index) => <Fragment key={index}>{part}<wbr /></Fragment>)}</>;
}
