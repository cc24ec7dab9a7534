/**
 * Ports by the names that services register for them (the IANA's list, as far as
 * containers commonly use it), for `_http._tcp.web.mesh`. Pure.
 */
const ports: Readonly<Record<string, number>> = {
  ftp: 21,
  ssh: 22,
  telnet: 23,
  smtp: 25,
  domain: 53,
  dns: 53,
  http: 80,
  kerberos: 88,
  pop3: 110,
  ntp: 123,
  imap: 143,
  snmp: 161,
  ldap: 389,
  https: 443,
  submission: 587,
  ldaps: 636,
  imaps: 993,
  pop3s: 995,
  socks: 1080,
  'ms-sql-s': 1433,
  mqtt: 1883,
  nfs: 2049,
  'etcd-client': 2379,
  mysql: 3306,
  sip: 5060,
  sips: 5061,
  'xmpp-client': 5222,
  postgresql: 5432,
  postgres: 5432,
  amqp: 5672,
  redis: 6379,
  'http-alt': 8080,
  'secure-mqtt': 8883,
  kafka: 9092,
  memcache: 11211,
  mongodb: 27017,
}

/** The port that a label of a SRV name stands for: `http` → 80, `8080` → 8080; null for another. */
export function portOfLabel(label: string): number | null {
  if (/^\d{1,5}$/.test(label)) return Number(label)
  return Object.hasOwn(ports, label) ? ports[label]! : null
}
