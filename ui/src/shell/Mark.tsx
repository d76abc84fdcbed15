// The sign of Towpath.

export function Mark() {
  return (
    <svg className="mark" viewBox="0 0 16 16" width="22" height="22" aria-hidden="true">
      <rect width="16" height="16" rx="3" fill="var(--accent)" />
      <path d="M3 12.5c4.5 0 3-8.5 10-9" fill="none" stroke="var(--on-accent)" strokeWidth="1.6" strokeLinecap="round" />
      <path d="M7 13c3.5-.4 2.5-5.5 6-6.2" fill="none" stroke="var(--on-accent)" strokeWidth="1.6" strokeLinecap="round" strokeDasharray="2 2.4" />
    </svg>
  );
}
