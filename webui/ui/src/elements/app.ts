import { css, html, LitElement, nothing, type TemplateResult } from 'lit';
import { customElement, property, state } from 'lit/decorators.js';
import { choose } from 'lit/directives/choose.js';
import { MAX_FILTERS, watched } from '../account';
import { moment } from '../format';
import { audience, type Audience, touchesAudience } from '../audience';
import type { Command } from '../command';
import type { Gate } from '../gate';
import { everySecond } from '../now';
import { parseRoute, type Route, routeHash, type View } from '../route';
import type { Change } from '../store';
import type { DeviceView } from '../devices';
import { text } from '../strings';
import type { EmptyWords } from './empty-state';
import { shared } from './styles';
import favicon from '../favicon.svg';
import './account-chip';
import './audience-chip';
import './chart-view';
import './connection-badge';
import './device-grid';
import './empty-state';
import './login-form';
import './missed-notice';
import './topic-details';
import './topic-list';
import './trouble-banner';

const VIEWS: readonly View[] = ['devices', 'topics', 'chart'];

/** The page's frame: where we are, how the connection is, and the view that was asked for. */
@customElement('fg-app')
export class App extends LitElement {
  static override styles = [
    shared,
    css`
      :host {
        display: flex;
        flex-direction: column;
        min-height: 100dvh;
      }

      header {
        position: sticky;
        z-index: 2;
        top: 0;
        display: flex;
        flex-wrap: wrap;
        align-items: center;
        gap: 8px 24px;
        padding: 10px max(20px, env(safe-area-inset-right)) 10px max(20px, env(safe-area-inset-left));
        border-bottom: 1px solid var(--line);
        background: color-mix(in srgb, var(--ground) 88%, transparent);
        backdrop-filter: blur(10px);
      }

      .brand {
        display: flex;
        align-items: center;
        gap: 10px;
        font-size: 1.1rem;
        font-weight: 700;
        letter-spacing: -0.02em;
      }

      .brand img {
        width: 1.85rem;
        height: 1.85rem;
      }

      nav {
        display: flex;
        gap: 4px;
      }

      nav a {
        padding: 6px 12px;
        border-radius: var(--radius-small);
        color: var(--ink-soft);
        font-weight: 550;
      }

      nav a:hover {
        background: var(--surface-sunk);
        color: var(--ink);
      }

      nav a[aria-current] {
        background: var(--accent-wash);
        color: var(--accent);
      }

      .standing {
        display: flex;
        flex: 1;
        flex-wrap: wrap;
        align-items: center;
        justify-content: flex-end;
        gap: 8px;
      }

      .skip:not(:focus) {
        position: absolute;
        clip-path: inset(50%);
      }

      main {
        flex: 1;
        display: flex;
        flex-direction: column;
        width: 100%;
        min-height: 0;
        padding: 20px max(20px, env(safe-area-inset-right)) 28px max(20px, env(safe-area-inset-left));
        outline: none;
      }

      /* What is seen may be old: paler, and still readable. */
      main.stale fg-devices,
      main.stale fg-chart,
      main.stale .split {
        filter: saturate(0.25);
        opacity: 0.75;
      }

      .notice {
        margin-bottom: 12px;
        padding: 8px 14px;
        border-radius: var(--radius-small);
        background: var(--warn-wash);
      }

      .split {
        display: grid;
        grid-template-columns: minmax(0, 1fr);
        gap: var(--gap);
        height: calc(100dvh - 104px);
        min-height: 320px;
      }

      .split.open {
        grid-template-columns: minmax(0, 3fr) minmax(20rem, 2fr);
      }

      .split fg-topics {
        min-height: 0;
      }

      .split fg-topic {
        overflow: hidden;
        border: 1px solid var(--line);
        border-radius: var(--radius);
        background: var(--surface);
        box-shadow: var(--shadow);
      }

      fg-chart {
        flex: 1;
      }

      @media (max-width: 860px) {
        .split.open {
          grid-template-columns: minmax(0, 1fr);
          grid-template-rows: minmax(0, 1fr) minmax(0, 1fr);
        }
      }

      @media (max-width: 640px) {
        header {
          gap: 6px 12px;
          padding: 8px 12px;
        }

        nav {
          order: 3;
          width: 100%;
        }

        nav a {
          flex: 1;
          padding: 7px 6px;
          text-align: center;
        }

        main {
          padding: 14px 12px 20px;
        }

        .split {
          height: calc(100dvh - 128px);
        }

        /* One thing at a time: the open topic, or the list. */
        .split.open {
          grid-template-rows: minmax(0, 1fr);
        }

        .split.open fg-topics {
          display: none;
        }
      }
    `,
  ];

  @property({ attribute: false }) gate!: Gate;
  @state() private route: Route = parseRoute(location.hash);
  @state() private devices: readonly DeviceView[] = [];
  @state() private audience: Audience = { sessions: 0, users: [] };
  /** Somebody who may see the page without a login wants to log in. */
  @state() private asksLogin = false;
  #stops: (() => void)[] = [];
  #size = 0;

  override connectedCallback(): void {
    super.connectedCallback();
    window.addEventListener('hashchange', this.#navigate);
    this.#stops = [
      this.gate.subscribe(() => {
        this.#look({ topics: new Set(), shape: true, all: true });
        this.requestUpdate();
      }),
      this.gate.store.subscribe(this.#look),
      // The first connection's patience runs out by itself.
      everySecond(() => {
        if (!this.gate.connection.state.everOpen) this.requestUpdate();
      }),
    ];
  }

  override disconnectedCallback(): void {
    window.removeEventListener('hashchange', this.#navigate);
    for (const stop of this.#stops) stop();
    super.disconnectedCallback();
  }

  protected override render(): TemplateResult {
    const { account, status } = this.gate;
    if (account.isOut || this.asksLogin) return this.#login();
    const stale = !['live', 'connecting'].includes(status.kind);
    return html`<header>
        <a class="button skip" href=${location.hash} @click=${this.#skip}>${text.nav.skip}</a>
        <a class="brand" href=${routeHash('devices')}><img src=${favicon} alt="" />${text.product}</a>
        <nav aria-label=${text.nav.label}>${VIEWS.map((view) => this.#tab(view))}</nav>
        <div class="standing">
          <fg-missed .missed=${this.gate.missed} @dismiss=${this.#dismiss}></fg-missed>
          ${stale ? nothing : html`<fg-audience .audience=${this.audience}></fg-audience>`}
          <fg-connection .status=${status}></fg-connection>
          <fg-account .me=${account.me} @leave=${this.#leave} @login=${this.#askLogin}></fg-account>
        </div>
      </header>
      <main class=${stale ? 'stale' : ''} tabindex="-1" @retry=${this.#retry}>
        <fg-trouble .status=${status}></fg-trouble>
        ${this.#notices()} ${this.#view()}
      </main>`;
  }

  #tab(view: View): TemplateResult {
    const here = view === this.route.view;
    return html`<a href=${routeHash(view)} aria-current=${here ? 'page' : nothing}>${text.nav[view]}</a>`;
  }

  #login(): TemplateResult {
    return html`<header>
        <a class="brand" href=${routeHash('devices')}><img src=${favicon} alt="" />${text.product}</a>
      </header>
      <main tabindex="-1">
        <fg-login
          .account=${this.gate.account}
          .reason=${this.gate.wasIn && !this.asksLogin ? text.login.ended : ''}
          ?optional=${this.asksLogin}
          @entered=${this.#entered}
          @cancel=${this.#cancelLogin}
        ></fg-login>
      </main>`;
  }

  #notices(): TemplateResult | typeof nothing {
    const { account, rightsChanged, store, truncated } = this.gate;
    if (rightsChanged !== null) {
      return html`<p class="notice" role="alert">
        ${text.login.rightsChanged(moment(rightsChanged, Date.now()))}
        <button class="button" @click=${this.#understood}>${text.login.dismiss}</button>
      </p>`;
    }
    const allowed = account.me?.subscribe.filter((filter) => !filter.startsWith('$')).length ?? 0;
    if (allowed > MAX_FILTERS) return html`<p class="notice">${text.login.tooMany(MAX_FILTERS, allowed)}</p>`;
    if (store.notKept > 0) return html`<p class="notice">${text.store.full(store.limits.topics)}</p>`;
    return truncated ? html`<p class="notice">${text.store.truncated}</p>` : nothing;
  }

  #view(): TemplateResult {
    const empty = this.#empty();
    if (empty !== null) return html`<fg-empty .words=${empty}></fg-empty>`;
    const { topic, view } = this.route;
    return html`${choose(view, [
      ['devices', () => html`<fg-devices
          .devices=${this.devices}
          .sparks=${this.gate.sparks}
          .mayCommand=${this.gate.mayCommand}
          @command=${this.#command}
        ></fg-devices>`],
      ['topics', () => this.#topics(topic)],
      [
        'chart',
        () =>
          html`<fg-chart .gate=${this.gate} .topic=${topic} .devices=${this.devices} @choose=${this.#chart}></fg-chart>`,
      ],
    ])}`;
  }

  #topics(topic: string): TemplateResult {
    return html`<div class="split ${topic === '' ? '' : 'open'}">
      <fg-topics .store=${this.gate.store} .selected=${topic} @choose=${this.#choose}></fg-topics>
      ${topic === ''
        ? nothing
        : html`<fg-topic .topic=${topic} .value=${this.gate.store.get(topic)}></fg-topic>`}
    </div>`;
  }

  /** The words for a page that has nothing to show; null where there is something. */
  #empty(): EmptyWords | null {
    const { gate } = this;
    const { kind } = gate.status;
    if (!gate.heard) return kind === 'unreachable' || kind === 'offline' ? text.empty.unreachable : text.empty.connecting;
    if (gate.account.me !== null && watched(gate.account.me).length === 0) return text.empty.nothingAllowed;
    if (this.route.view === 'devices') {
      if (gate.devicesForbidden) return text.empty.devicesForbidden;
      if (gate.board === null) return kind === 'broker_away' ? text.empty.brokerAway : text.empty.connecting;
      if (this.devices.length === 0) return text.empty.noDevices;
      return null;
    }
    return gate.store.size === 0 ? text.empty.noValues : null;
  }

  readonly #look = (change: Change): void => {
    this.devices = this.gate.board?.update(change, this.gate.store) ?? [];
    const base = this.gate.board?.base;
    if (base !== undefined && touchesAudience(base, change)) this.audience = audience(base, this.gate.store);
    const { size } = this.gate.store;
    const emptiness = (size === 0) !== (this.#size === 0);
    this.#size = size;
    const open = this.route.view === 'topics' ? this.route.topic : '';
    if (change.all || emptiness || change.topics.has(open)) this.requestUpdate();
  };

  readonly #navigate = (): void => {
    this.route = parseRoute(location.hash);
  };

  readonly #choose = (event: CustomEvent<string>): void => {
    // Arrow keys run through many topics: only the last belongs into the history.
    location.replace(routeHash('topics', event.detail));
  };

  readonly #chart = (event: CustomEvent<string>): void => {
    location.hash = routeHash('chart', event.detail);
  };

  readonly #retry = (): void => {
    this.gate.retryNow();
  };

  readonly #leave = async (): Promise<void> => {
    if (await this.gate.account.logOut()) location.reload(); // with it goes all that it remembers
  };

  readonly #askLogin = (): void => {
    this.asksLogin = true;
  };

  readonly #cancelLogin = (): void => {
    this.asksLogin = false;
  };

  readonly #entered = (): void => {
    this.asksLogin = false;
  };

  readonly #understood = (): void => {
    this.gate.forgetRightsChanged();
  };

  readonly #command = (event: CustomEvent<Command>): void => {
    this.gate.command(event.detail);
  };

  readonly #dismiss = (): void => {
    this.gate.forgetMissed();
  };

  #skip(event: Event): void {
    event.preventDefault();
    this.renderRoot.querySelector('main')?.focus();
  }
}

declare global {
  interface HTMLElementTagNameMap {
    'fg-app': App;
  }
}
