// A field that filters a list as one types.

interface FilterProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
}

export function Filter({ label, value, onChange }: FilterProps) {
  return (
    <input type="search" className="filter" aria-label={label} placeholder={label} value={value} spellCheck={false}
      onChange={(event) => onChange(event.target.value)} />
  );
}
