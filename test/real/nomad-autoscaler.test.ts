/**
 * nomad-autoscaler on a real AWS API server, with a cluster's API server and a stand-in for KOTS: EC2 has a group that
 * Terraform would have made; IAM has exactly the user and the policy for it afterwards, and KOTS what the Config screen
 * asks for.
 */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { MARK } from '../../lib/cloud/iam.ts'
import { scalerPolicy } from '../../lib/cloud/policies.ts'
import { kotsState } from '../../lib/rehearsal/kots.ts'
import { processesDuring } from '../processes-seen.ts'
import { accountHas } from './aws.ts'
import { kotsOnAws, proves } from './kots-on-aws.ts'
import { journals, start, startBash } from './runs.ts'

const USER = 'circleci-nomad-autoscaler', FILE = 'nomad-as-key', GROUP = 'server_circleci_nomad_clients_asg'

let arn: string
const setting = kotsOnAws({
  runbook: 'nomad-autoscaler', file: FILE, words: () => ['--provider', 'aws', '--region', 'us-east-1'], more: ['terraform'],
  fill: async () => {
    const { Images } = await cli('ec2', 'describe-images', '--owners', '099720109477')
    await cli('autoscaling', 'create-launch-configuration', '--launch-configuration-name', 'clients', '--image-id', Images[0].ImageId, '--instance-type', 't3.2xlarge')
    await cli('autoscaling', 'create-auto-scaling-group', '--auto-scaling-group-name', GROUP, '--launch-configuration-name', 'clients', '--min-size', '1', '--max-size', '5', '--desired-capacity', '2', '--availability-zones', 'us-east-1a')
    arn = (await cli('autoscaling', 'describe-auto-scaling-groups'))['AutoScalingGroups'][0].AutoScalingGroupARN
  },
})
const { aws, here, cli, run, file, secret, expectPrivate, expectDeployed } = setting
const users = async () => (await cli('iam', 'list-users'))['Users'] as { UserName: string }[]

const expectSetUp = async () => {
  const { keys, tags, policy } = await accountHas(USER, 'none', USER)
  expect([tags, policy]).toEqual([[MARK], scalerPolicy(arn)])
  expect((await users()).map(({ UserName }) => UserName)).toEqual([USER])
  expect(keys).toHaveLength(1)
  expectPrivate()
  await expectDeployed({
    nomad_autoscaler_enabled: '1', nomad_autoscaler_min: '1', nomad_autoscaler_max: '5', nomad_autoscaler_provider: 'nomad_autoscaler_ec2', nomad_autoscaler_region: 'us-east-1',
    nomad_autoscaler_auth: 'nomad_autoscaler_keys', nomad_autoscaler_access_key_id: keys[0], nomad_autoscaler_secret: secret(), nomad_autoscaler_asg: GROUP,
  })
}

proves(setting, { made: users, expectSetUp, lost: ['Action=CreateAccessKey'] })

test('where Terraform made a user: its key, from what Terraform tells; no secret is an argument of a process, or said', async () => {
  const theirs = 'server-nomad-asg-user', made = ['nomad_asg_user_access_key', 'nomad_asg_user_secret_key']
  await cli('iam', 'create-user', '--user-name', theirs)
  const { AccessKey: { AccessKeyId: id, SecretAccessKey: theirSecret } } = await cli('iam', 'create-access-key', '--user-name', theirs)
  const folder = join(here().env['HOME'] as string, 'nomad-clients')
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  mkdirSync(folder, { mode: 0o700 })
  writeFileSync(join(folder, 'main.tf'), [id, theirSecret].map((value, n) => `output "${made[n]}" {\n  value     = "${value}"\n  sensitive = true\n}\n`).join(''))
  const applied = await start(here(), ['terraform', `-chdir=${folder}`, 'apply', '-auto-approve', '-input=false'], {}).ended
  expect(applied.code, applied.all).toBe(0)
  for (const way of ['script', 'run']) {
    rmSync(join(here().env['HOME'] as string, FILE), { force: true })
    Object.assign(here().standIns.kots.state, kotsState(Date.now()))
    const text = way === 'script' ? (await run(['--shell'])).stdout : ''
    const { result: { code, all }, shown } = await processesDuring(() => (way === 'script' ? startBash(here(), text, { env: aws().env }).ended : run()))
    expect(code, all).toBe(0)
    expect(file()).toBe(`[default]\naws_access_key_id=${id}\naws_secret_access_key=${theirSecret}\n`)
    expectPrivate()
    expect((await users()).map(({ UserName }) => UserName)).toEqual([theirs])
    await here().standIns.kots.settled()
    expect(here().standIns.kots.state.versions[0]?.values).toMatchObject({ nomad_autoscaler_access_key_id: { value: id }, nomad_autoscaler_secret: { value: theirSecret } })
    expect(shown.filter((one) => one.includes(theirSecret))).toEqual([])
    expect(text + all + journals(here())).not.toContain(theirSecret)
  }
})
