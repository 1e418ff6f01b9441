// Light or dark, as the person chose here before; else as the system says. It runs before anything is drawn.
'use strict';
(() => {
  const KEY = 'tidegate-theme';
  const root = document.documentElement;
  // A browser may forbid a page to keep anything.
  const storage = (use) => {
    try {
      return use(localStorage);
    } catch {
      return null;
    }
  };
  const apply = (theme) => {
    if (theme === 'light' || theme === 'dark') root.dataset.theme = theme;
    else delete root.dataset.theme;
  };
  apply(storage((kept) => kept.getItem(KEY)));
  document.addEventListener('DOMContentLoaded', () => {
    const select = document.getElementById('theme');
    select.value = root.dataset.theme ?? 'auto';
    select.addEventListener('change', () => {
      apply(select.value);
      storage((kept) => kept.setItem(KEY, select.value));
    });
  });
})();
