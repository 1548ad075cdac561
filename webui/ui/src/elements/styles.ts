/** What all elements share: box model, focus, buttons, links, words for screen readers only. */

import { css } from 'lit';

export const shared = css`
  *,
  *::before,
  *::after {
    box-sizing: border-box;
  }

  :host([hidden]) {
    display: none;
  }

  h1,
  h2,
  h3,
  p,
  dl,
  dd,
  ul,
  pre {
    margin: 0;
    padding: 0;
  }

  a {
    color: inherit;
    text-decoration: none;
  }

  :focus-visible {
    outline: 2px solid var(--accent);
    outline-offset: 2px;
  }

  button {
    font: inherit;
    color: inherit;
    cursor: pointer;
  }

  .button {
    display: inline-flex;
    align-items: center;
    gap: 6px;
    min-height: 34px;
    padding: 4px 12px;
    border: 1px solid var(--line-strong);
    border-radius: var(--radius-small);
    background: var(--surface);
    font-weight: 500;
  }

  .button:hover {
    border-color: var(--accent);
    color: var(--accent);
  }

  .tag {
    display: inline-block;
    padding: 0 7px;
    border-radius: 99px;
    background: var(--surface-sunk);
    color: var(--ink-soft);
    font-size: 0.75rem;
    line-height: 1.6;
    white-space: nowrap;
  }

  .spoken {
    position: absolute;
    width: 1px;
    height: 1px;
    overflow: hidden;
    clip-path: inset(50%);
    white-space: nowrap;
  }

  @media (prefers-reduced-motion: reduce) {
    *,
    *::before,
    *::after {
      animation: none !important;
      transition: none !important;
    }
  }
`;
