/**
 * Certificates made on the spot: an authority, a server's on the loopback, a client's.
 */
import { execFileSync } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'

function openssl(directory: string, ...args: string[]): void {
  execFileSync('openssl', args, { cwd: directory, stdio: 'pipe' })
}

/** `NAME.pem` and `NAME.key` in the directory, signed by `ca`; without `ca`: an authority itself. */
function make(directory: string, name: string, ca: string | null, extensions: readonly string[]): void {
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes']
  const files = ['-keyout', `${name}.key`]
  const subject = ['-subj', `/CN=${name}`]
  if (ca === null) {
    openssl(directory, 'req', '-x509', ...curve, ...files, '-out', `${name}.pem`, ...subject, '-days', '2')
    return
  }
  writeFileSync(join(directory, `${name}.ext`), extensions.join('\n'))
  openssl(directory, 'req', ...curve, ...files, '-out', `${name}.csr`, ...subject)
  const signer = ['-CA', `${ca}.pem`, '-CAkey', `${ca}.key`, '-CAcreateserial', '-days', '2']
  const output = ['-extfile', `${name}.ext`, '-out', `${name}.pem`]
  openssl(directory, 'x509', '-req', '-in', `${name}.csr`, ...signer, ...output)
}

/**
 * Fills a directory: `ca.pem`, `server.pem`, `client.pem`, their `.key` files, and
 * `other.pem` by an authority that nobody trusts. etcd's gateway is a client of its own
 * server, so the server's certificate serves for both.
 */
export function makeCertificates(directory: string): void {
  make(directory, 'ca', null, [])
  make(directory, 'stranger', null, [])
  make(directory, 'server', 'ca', [
    'subjectAltName=IP:127.0.0.1,DNS:localhost',
    'extendedKeyUsage=serverAuth,clientAuth',
  ])
  make(directory, 'client', 'ca', ['extendedKeyUsage=clientAuth'])
  make(directory, 'other', 'stranger', ['extendedKeyUsage=clientAuth'])
}
