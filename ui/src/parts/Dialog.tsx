// A dialog on the browser's own element, which keeps the focus inside and closes with Escape.

import { useEffect, useRef, type ReactNode } from 'react';

interface DialogProps {
  title: string;
  isOpen: boolean;
  onClose: () => void;
  children: ReactNode;
  className?: string;
}

export function Dialog({ title, isOpen, onClose, children, className = '' }: DialogProps) {
  const ref = useRef<HTMLDialogElement>(null);
  useEffect(() => {
    const dialog = ref.current;
    if (!dialog) return;
    if (isOpen && !dialog.open) dialog.showModal();
    if (!isOpen && dialog.open) dialog.close();
  }, [isOpen]);
  const onBackdrop = (event: React.MouseEvent) => {
    if (event.target === ref.current) onClose();
  };
  return (
    // The dialog closes with Escape; the click beside it is the same for a mouse.
    <dialog ref={ref} className={`dialog ${className}`} aria-label={title} onClose={onClose} onClick={onBackdrop}>
      {isOpen && <div className="dialog-body">{children}</div>}
    </dialog>
  );
}
