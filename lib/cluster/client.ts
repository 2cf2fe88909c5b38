/**
 * The parts of client-node that are used. `npm ci` bundles this file, since client-node is 850 small ones, and
 * loading them one by one costs an operator two seconds.
 */
export { Exec, KubeConfig } from '@kubernetes/client-node'
