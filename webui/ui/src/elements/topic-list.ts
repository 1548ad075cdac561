import { css, html, LitElement, nothing, type PropertyValues, type TemplateResult } from 'lit';
import { customElement, property, query, state } from 'lit/decorators.js';
import { repeat } from 'lit/directives/repeat.js';
import { routeHash } from '../route';
import type { Change, Store, TopicValue } from '../store';
import { text } from '../strings';
import { searcher } from '../topic';
import { moveBy, rowWindow } from '../window';
import { shared } from './styles';
import './live-age';

const ROW_PX = 38;
const PREVIEW_CHARACTERS = 300;

/**
 * Every topic, sorted and searchable; only the rows in sight have elements.
 *
 * Places are set as properties (`.style`): the policy of the page forbids style attributes.
 */
@customElement('fg-topics')
export class TopicList extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-height: 0;
      }

      .search {
        display: flex;
        align-items: center;
        gap: 12px;
        padding-bottom: 12px;
      }

      input {
        flex: 1;
        min-width: 0;
        height: 40px;
        padding: 0 14px;
        border: 1px solid var(--line-strong);
        border-radius: var(--radius-small);
        background: var(--surface);
        color: inherit;
        font: inherit;
      }

      input::placeholder {
        color: var(--ink-faint);
        opacity: 1;
      }

      .count {
        color: var(--ink-soft);
        white-space: nowrap;
      }

      .rows {
        flex: 1;
        min-height: 0;
        overflow: auto;
        border: 1px solid var(--line);
        border-radius: var(--radius);
        background: var(--surface);
        contain: strict;
        overflow-anchor: none;
      }

      .whole {
        position: relative;
      }

      .row {
        position: absolute;
        right: 0;
        left: 0;
        display: grid;
        grid-template-columns: minmax(0, 3fr) minmax(0, 2fr) auto 46px;
        align-items: center;
        gap: 14px;
        height: ${ROW_PX}px;
        padding: 0 16px;
        border-bottom: 1px solid var(--line);
      }

      .row:hover {
        background: var(--surface-sunk);
      }

      .row[aria-selected='true'] .topic,
      .row[aria-selected='true'] fg-age {
        color: var(--ink-soft);
      }

      .row[aria-selected='true'] {
        background: var(--accent-wash);
        box-shadow: inset 3px 0 var(--accent);
      }

      .topic,
      .payload {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: nowrap;
      }

      .topic {
        display: flex;
        color: var(--ink-faint);
      }

      .topic span,
      .topic b {
        overflow: hidden;
        text-overflow: ellipsis;
        white-space: pre;
      }

      /* The last level tells most: it is cut last. */
      .topic b {
        flex: none;
        max-width: 100%;
        color: var(--ink);
        font-weight: 550;
      }

      .payload {
        font-family: var(--mono);
        font-size: 0.9em;
      }

      fg-age {
        color: var(--ink-faint);
        font-size: 0.82em;
        text-align: right;
        white-space: nowrap;
      }

      .no-match {
        display: flex;
        align-items: center;
        gap: 14px;
        padding: 20px 16px;
        color: var(--ink-soft);
        overflow-wrap: anywhere;
      }

      @media (max-width: 640px) {
        .row {
          grid-template-columns: minmax(0, 1fr) minmax(0, auto) 42px;
          gap: 10px;
          padding: 0 12px;
        }

        .payload {
          max-width: 32vw;
        }

        .row .tag {
          display: none;
        }
      }
    `,
  ];

  @property({ attribute: false }) store!: Store;
  @property({ attribute: false }) selected = '';
  @state() private words = '';
  @state() private top = 0;
  @state() private height = 600;
  @query('.rows') private readonly rows!: HTMLElement | null;
  #sorted: string[] = [];
  #found: string[] = [];
  /** A choice that came from outside and is not in sight yet. */
  #toReveal = true;
  #stop: (() => void) | undefined;
  readonly #resized = new ResizeObserver(([entry]) => {
    this.height = entry?.contentRect.height ?? this.height;
  });

  override connectedCallback(): void {
    super.connectedCallback();
    this.#stop = this.store.subscribe(this.#change);
  }

  override disconnectedCallback(): void {
    this.#stop?.();
    this.#resized.disconnect();
    super.disconnectedCallback();
  }

  protected override firstUpdated(): void {
    if (this.rows !== null) this.#resized.observe(this.rows);
  }

  protected override updated(changed: PropertyValues<this>): void {
    this.#toReveal ||= changed.has('selected');
    if (!this.#toReveal || this.rows === null) return;
    const index = this.#found.indexOf(this.selected);
    if (index < 0) return;
    this.#toReveal = false;
    this.height = this.rows.clientHeight;
    this.#reveal(index);
  }

  protected override willUpdate(changed: PropertyValues<this>): void {
    if ((changed as Map<PropertyKey, unknown>).has('words')) this.#search();
  }

  protected override render(): TemplateResult {
    const all = this.#found;
    const { first, end } = rowWindow(this.top, this.height, ROW_PX, all.length);
    return html`<h1 class="spoken">${text.topics.title}</h1>
      <div class="search" role="search">
        <input
          type="search"
          aria-label=${text.topics.search}
          placeholder=${text.topics.placeholder}
          autocomplete="off"
          autocapitalize="off"
          spellcheck="false"
          .value=${this.words}
          @input=${this.#type}
          @keydown=${this.#keyInSearch}
        />
        <span class="count" role="status">${text.topics.count(all.length, this.#sorted.length)}</span>
      </div>
      <div
        class="rows"
        role="listbox"
        tabindex="0"
        aria-label=${text.topics.list}
        aria-activedescendant=${this.selected === '' ? nothing : 'chosen'}
        @scroll=${this.#scroll}
        @keydown=${this.#key}
      >
        ${all.length === 0 ? this.#noMatch() : nothing}
        <div class="whole" role="presentation" .style=${`height: ${all.length * ROW_PX}px`}>
          ${repeat(
            all.slice(first, end),
            (topic) => topic,
            (topic, index) => this.#row(topic, first + index),
          )}
        </div>
      </div>`;
  }

  #row(topic: string, index: number): TemplateResult | typeof nothing {
    const value = this.store.get(topic);
    if (value === undefined) return nothing;
    const cut = topic.lastIndexOf('/') + 1;
    const chosen = topic === this.selected;
    return html`<a
      class="row"
      role="option"
      tabindex="-1"
      id=${chosen ? 'chosen' : nothing}
      href=${routeHash('topics', topic)}
      aria-selected=${chosen ? 'true' : 'false'}
      aria-setsize=${this.#found.length}
      aria-posinset=${index + 1}
      .style=${`top: ${index * ROW_PX}px`}
    >
      <span class="topic" title=${topic}><span>${topic.slice(0, cut)}</span><b>${topic.slice(cut)}</b></span>
      <span class="payload">${preview(value)}</span>
      ${value.retain
        ? html`<span class="tag" title=${text.topics.retainedTitle}>${text.topics.retained}</span>`
        : html`<span class="tag-less"></span>`}
      <fg-age short .time=${value.time}></fg-age>
    </a>`;
  }

  #noMatch(): TemplateResult {
    return html`<div class="no-match">
      <span>${text.topics.noMatch(this.words)}</span>
      <button class="button" @click=${this.#showAll}>${text.topics.clear}</button>
    </div>`;
  }

  readonly #change = (change: Change): void => {
    if (change.shape) {
      this.#sorted = [...this.store.topics()].sort(byLevels);
      this.#search();
      this.requestUpdate();
      return;
    }
    const { first, end } = rowWindow(this.top, this.height, ROW_PX, this.#found.length);
    if (this.#found.slice(first, end).some((topic) => change.topics.has(topic))) this.requestUpdate();
  };

  #search(): void {
    this.#found = this.#sorted.filter(searcher(this.words));
  }

  #type(event: InputEvent): void {
    this.words = (event.target as HTMLInputElement).value;
    if (this.rows !== null) this.rows.scrollTop = 0;
  }

  readonly #showAll = (): void => {
    this.words = '';
  };

  #scroll(): void {
    this.top = this.rows?.scrollTop ?? 0;
  }

  /** The arrow keys leave the search box for the list, where they choose. */
  #keyInSearch(event: KeyboardEvent): void {
    if (event.key !== 'ArrowDown' && event.key !== 'Enter') return;
    event.preventDefault();
    this.rows?.focus();
    if (!this.#found.includes(this.selected)) this.#choose(0);
  }

  #key(event: KeyboardEvent): void {
    const page = Math.max(1, Math.floor(this.height / ROW_PX) - 1);
    const next = moveBy(event.key, this.#found.indexOf(this.selected), this.#found.length, page);
    if (next === null) return;
    event.preventDefault();
    this.#choose(next);
  }

  #choose(index: number): void {
    const topic = this.#found[index];
    if (topic === undefined) return;
    this.#reveal(index);
    this.dispatchEvent(new CustomEvent('choose', { detail: topic }));
  }

  #reveal(index: number): void {
    if (index < 0 || this.rows === null) return;
    const top = index * ROW_PX;
    if (top < this.rows.scrollTop) this.rows.scrollTop = top;
    else if (top + ROW_PX > this.rows.scrollTop + this.height) this.rows.scrollTop = top + ROW_PX - this.height;
  }
}

/** By level, so that a branch stays together: `a/b` before `a-b`. */
function byLevels(a: string, b: string): number {
  const left = a.replaceAll('/', '\u0000');
  const right = b.replaceAll('/', '\u0000');
  return left < right ? -1 : left > right ? 1 : 0;
}

function preview(value: TopicValue): string {
  if (value.omitted) return text.topics.omitted;
  if (value.base64) return text.topics.binary(text.size(Math.floor((value.payload.length * 3) / 4)));
  return value.payload.slice(0, PREVIEW_CHARACTERS);
}
