import { Gate } from './gate';
import './elements/app';

const gate = new Gate(new URL('.', document.baseURI));
const app = document.createElement('fg-app');
app.gate = gate;
document.body.append(app);
gate.start();
