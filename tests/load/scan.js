// Load on the gateway's Scan with real photos: `make loadtest`, or by hand (see README.md in this folder).
//
// Closed model first: CLIENTS clients, each with one scan under way, ramped up and down. Then the open model: RATE scans
// a second whatever becomes of them, ramped up, held and ramped down. SECONDS is the length of each.
import { check } from 'k6';
import { SharedArray } from 'k6/data';
import { Rate } from 'k6/metrics';
import grpc from 'k6/net/grpc';

const TARGET = __ENV.TARGET || '127.0.0.1:50050';
const FOLDER = __ENV.FOLDER || '../../build/load';
const CLIENTS = Number(__ENV.CLIENTS || 4);
const RATE = Number(__ENV.RATE || 10);
const SECONDS = Number(__ENV.SECONDS || 40);
const BEARER = __ENV.API_KEY ? { authorization: `Bearer ${__ENV.API_KEY}` } : {};

const photos = new SharedArray('photos', () => JSON.parse(open(`${FOLDER}/photos.json`)));
const client = new grpc.Client();
client.loadProtoset(`${FOLDER}/shiwu.protoset`);

const whole = new Rate('scans_whole');
const shed = new Rate('scans_shed');
const failed = new Rate('scans_failed');

export const options = {
  scenarios: {
    closed: {
      executor: 'ramping-vus',
      startVUs: 0,
      stages: [
        { duration: `${SECONDS / 4}s`, target: CLIENTS },
        { duration: `${SECONDS / 2}s`, target: CLIENTS },
        { duration: `${SECONDS / 4}s`, target: 0 },
      ],
      gracefulRampDown: '10s',
    },
    open: {
      executor: 'ramping-arrival-rate',
      startTime: `${SECONDS + 5}s`,
      startRate: 1,
      timeUnit: '1s',
      preAllocatedVUs: 50,
      maxVUs: 500,
      stages: [
        { duration: `${SECONDS / 4}s`, target: RATE },
        { duration: `${SECONDS / 2}s`, target: RATE },
        { duration: `${SECONDS / 4}s`, target: 1 },
      ],
    },
  },
  summaryTrendStats: ['med', 'p(95)', 'p(99)', 'max'],
  thresholds: {
    'grpc_req_duration{scenario:closed}': ['p(99)<2000'],
    'grpc_req_duration{scenario:open}': ['p(99)<2000'],
    // Within its capacity the mesh answers everything, and wholly.
    'scans_whole{scenario:closed}': ['rate>0.99'],
    'scans_whole{scenario:open}': ['rate>0.99'],
    scans_shed: ['rate<0.01'],
    scans_failed: ['rate<0.001'],
    dropped_iterations: ['count<1'],
  },
};

let connected = false;

export default function scan() {
  if (!connected) {
    client.connect(TARGET, { plaintext: !__ENV.TLS });
    connected = true;
  }
  const image = { encoded: photos[(__VU * 7 + __ITER) % photos.length] };
  const answer = client.invoke('shiwu.v1.GatewayService/Scan', { image }, { timeout: '10s', metadata: BEARER });
  const ok = answer.status === grpc.StatusOK;
  whole.add(ok && !(answer.message.missing || []).length);
  shed.add(answer.status === grpc.StatusResourceExhausted);
  failed.add(!ok && answer.status !== grpc.StatusResourceExhausted);
  check(answer, { answered: () => ok });
}
