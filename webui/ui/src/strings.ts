/** Every word that the page says, in one place. */

function plural(count: number, one: string, many: string): string {
  return `${count.toLocaleString('en')} ${count === 1 ? one : many}`;
}

export const text = {
  product: 'Fieldgate',
  nav: { label: 'Views', devices: 'Devices', topics: 'Topics', chart: 'Chart', skip: 'Skip to content' },

  /** How long ago, in words. */
  ago(ms: number): string {
    return ms < 1_000 ? 'just now' : `${text.span(ms)} ago`;
  },
  /** The same where there is little room. */
  age(ms: number): string {
    return ms < 2_000 ? 'now' : text.span(ms);
  },
  /** A span of time as its one largest unit. */
  span(ms: number): string {
    const seconds = Math.max(0, Math.floor(ms / 1000));
    if (seconds < 60) return `${seconds} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min`;
    if (seconds < 2 * 86_400) return `${Math.floor(seconds / 3600)} h`;
    return `${Math.floor(seconds / 86_400)} days`;
  },
  /** How long there is between two values. */
  interval(seconds: number): string {
    return seconds < 1 ? `${Number(seconds.toPrecision(1))} s` : text.span(Math.round(seconds) * 1000);
  },
  /** A measured duration in its two largest units. */
  duration(seconds: number): string {
    const minutes = Math.floor(seconds / 60);
    if (minutes < 60) return `${minutes} m ${Math.floor(seconds % 60)} s`;
    if (minutes < 1440) return `${Math.floor(minutes / 60)} h ${minutes % 60} m`;
    return `${Math.floor(minutes / 1440)} d ${Math.floor((minutes % 1440) / 60)} h`;
  },
  size(bytes: number): string {
    return plural(bytes, 'byte', 'bytes');
  },

  connection: {
    connecting: 'Connecting',
    live: 'Live',
    lost: 'Reconnecting',
    brokerAway: 'Broker away',
    refused: 'Refused',
    since: (when: string) => `since ${when}`,
    liveTitle: (when: string) => `Connected since ${when}; values arrive as they change.`,
    connectingDetail: 'Opening the connection to Fieldgate.',
    noAnswer: 'Fieldgate does not answer. Is it running, and is this the right address? Trying again by itself.',
    lostDetail: (when: string) =>
      `The connection to Fieldgate was lost at ${when}. What you see are the last values; the page comes back by itself.`,
    offlineDetail: (when: string) =>
      `This device has had no network since ${when}. What you see are the last values; the page comes back by itself.`,
    brokerDetail: (reason: string, when: string) =>
      `Fieldgate is there, but has not reached its MQTT broker since ${when}${reason === '' ? '' : `: ${reason}`}. What you see are the last values.`,
    refusedDetail: (message: string) => `Fieldgate refused the subscription: ${message}`,
    tryNow: 'Try now',
  },

  audience: {
    button: (sessions: number) => `${sessions.toLocaleString('en')} watching`,
    title: 'Who watches',
    count: (sessions: number, named: number) =>
      `${plural(sessions, 'session', 'sessions')} in all: browsers and streams. ${named === 0 ? 'None has a name: nobody has logged in.' : 'Whoever has not logged in has no name.'}`,
  },

  login: {
    title: 'Log in',
    intro: 'Only users see what is here. Name and password are the same as on MQTT.',
    user: 'User',
    password: 'Password',
    submit: 'Log in',
    checking: 'Checking…',
    cancel: 'Go on without',
    noAnswer: 'Fieldgate did not answer. Try again in a moment.',
    ended: 'Your login has ended: you logged out in another tab, it was too old, or your password or groups have changed.',
    logOut: 'Log out',
    logOutTitle: (user: string) => `Logged in as ${user}`,
    rightsChanged: (when: string) =>
      `What you may see was changed at ${when}. The page shows what the rules allow you now.`,
    tooMany: (shown: number, all: number) =>
      `The rules allow you ${all.toLocaleString('en')} topic filters; this page watches the first ${shown}.`,
    dismiss: 'Understood',
  },

  missed: {
    button: (count: number, unknown: boolean) =>
      count === 0 ? 'Some missed' : `${count.toLocaleString('en')}${unknown ? '+' : ''} missed`,
    title: 'Not everything arrived',
    intro: 'Every value shown is the newest one. These are the moments at which some in between did not reach this page:',
    count: (missed: number | null) => (missed === null ? 'an unknown number' : plural(missed, 'message', 'messages')),
    reason: {
      slow: 'this page or its network was too slow',
      resume: 'the page was away for too long',
      restart: 'Fieldgate was restarted',
      link: 'the broker was away',
    },
    dismiss: 'Clear this list',
  },

  store: {
    full: (topics: number) =>
      `This page keeps ${topics.toLocaleString('en')} topics and is full: further topics are not shown.`,
    truncated: 'Fieldgate keeps more topics than it may: some last values are missing until they change.',
  },

  controls: {
    title: 'Settings',
    press: 'Press',
    stage: {
      sending: 'Sending…',
      accepted: 'Accepted…',
      written: 'Written',
      confirmed: 'Confirmed',
      timeout: 'Not confirmed',
      refused: 'Refused',
    },
    noReceipt: 'nothing was heard of it; is the gateway there?',
    notSent: 'Fieldgate did not answer. Try again in a moment.',
  },

  devices: {
    title: 'Devices',
    online: 'Online',
    offline: 'Offline',
    unknown: 'No word yet',
    unknownTitle: 'This device has not said yet whether it is online.',
    lastSeen: 'Last seen',
    neverSeen: 'Never seen so far',
    noPoints: 'No values yet. They appear here as soon as the device sends some.',
    openChart: (name: string) => `Chart of ${name}`,
    openTopic: (name: string) => `Payload of ${name}`,
    lastHeard: 'Last heard',
    silentPoints: (points: readonly { name: string; interval: number | null }[]) => {
      const names = points
        .slice(0, 4)
        .map(({ name, interval }) => (interval === null ? name : `${name} (${text.devices.usually(interval)})`));
      const more = points.length - names.length;
      return `Silent for longer than usual: ${names.join(', ')}${more > 0 ? ` and ${more} more` : ''}.`;
    },
    usually: (seconds: number) => `heard every ${text.interval(seconds)} before`,
    staleTitle: (name: string, seconds: number | null) =>
      `${name} has been silent for longer than usual${seconds === null ? '' : ` (${text.devices.usually(seconds)})`}: this value is old.`,
    points: (count: number) => plural(count, 'point', 'points'),
    badFrames: (count: number) => plural(count, 'bad frame', 'bad frames'),
    badFrame: (why: string) => `A frame ${why}`,
    summary: (online: number, all: number) => `${online} of ${all} online`,
    age: (age: string, when: string) => `${age}, at ${when}`,
  },

  topics: {
    title: 'Topics',
    search: 'Search topics',
    placeholder: 'Search: boiler temp, or a filter: +/+/state',
    count: (shown: number, all: number) =>
      shown === all
        ? plural(all, 'topic', 'topics')
        : `${shown.toLocaleString('en')} of ${plural(all, 'topic', 'topics')}`,
    noMatch: (query: string) => `No topic matches “${query}”.`,
    clear: 'Show all topics',
    list: 'Topics and their newest payloads',
    retained: 'retained',
    retainedTitle: 'The broker keeps this message for those who come later.',
    lastValue: 'last value',
    lastValueTitle: 'Published before this page was opened; not seen live yet.',
    empty: 'empty payload',
    omitted: 'left out: this page holds as much as it may',
    cut: (shown: number, all: number) =>
      `The first ${shown.toLocaleString('en')} of ${all.toLocaleString('en')} characters:`,
    binary: (bytes: string) => `${bytes}, not text`,
    copy: 'Copy topic',
    copied: 'Copied',
    copyFailed: 'Could not copy',
    chart: 'Show chart',
    close: 'Close',
    gone: 'This topic has no value now: it was cleared, or has not been published yet.',
    pick: 'Choose a topic to see its whole payload.',
    payload: 'Payload',
    time: 'Time',
  },

  chart: {
    title: 'Chart',
    pick: 'Show',
    pickNone: 'Choose a value…',
    others: 'Other topics',
    waiting: 'No value yet. The line starts with the first one that arrives.',
    notNumber: 'The newest payload is not a number, so there is nothing to draw.',
    none: 'Choose a value to watch. Any numeric topic can be drawn.',
    nothing: 'There is no numeric value yet. As soon as one arrives it can be drawn here.',
    window: 'Last 5 minutes',
    min: 'min',
    mean: 'mean',
    max: 'max',
    aria: (name: string) => `Line chart of ${name} over the last five minutes`,
  },

  empty: {
    connecting: { title: 'Connecting…', body: 'Opening the connection to Fieldgate. This takes a moment at most.' },
    unreachable: {
      title: 'Fieldgate does not answer',
      body: 'The page was loaded, but the gateway behind it says nothing. It keeps trying by itself; check that `fieldgate run` is still running.',
    },
    brokerAway: {
      title: 'Waiting for the broker',
      body: 'Fieldgate is running, but has not reached its MQTT broker yet. Devices appear here as soon as it has.',
    },
    noValues: {
      title: 'Connected, no values yet',
      body: 'Everything is in place and this page is listening. The first message that passes the broker shows up here at once. Try one:',
      code: "mosquitto_pub -t demo/hello -m 21.5",
    },
    nothingAllowed: {
      title: 'Nothing to see with this login',
      body: 'The rules in users.yaml allow you no topic at all. Whoever keeps that file can change it; the page notices by itself.',
    },
    devicesForbidden: {
      title: 'The list of devices is not for you',
      body: 'The rules in users.yaml do not let you see which devices there are. Topics shows all that you may see.',
    },
    noDevices: {
      title: 'No device is configured yet',
      body: 'Add one to fieldgate.yaml and start Fieldgate again. A serial device that prints lines such as temperature=21.5 takes six:',
      code: `devices:
  - name: boiler
    reader: {type: serial, port: /dev/ttyUSB0, baudrate: 9600}
    decoder: {type: key_value}
    points:
      temperature: {unit: "°C"}`,
      hint: 'fieldgate ports lists the serial ports of this machine; fieldgate monitor PORT shows what arrives there.',
    },
  },
} as const;
