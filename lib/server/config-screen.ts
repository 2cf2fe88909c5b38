/**
 * The Config screen of the admin console for CircleCI server 3.3 and 3.4, field by field: what each is called, whether
 * it has to be filled in, what stands there where it is not, and which runbook fills it in. Installation guide 3.3.0,
 * phases 2 to 4; operations guide 3.4.1. Its item keys are not public: they are looked up by these labels.
 */

/** The runbook that fills a field in; of what none does yet, the procedure of the guide. */
type Owner = 'install-server' | 'tls-certificates' | 'expand-pvc' | 'output-processor' | 'nomad-terraform' | 'nomad-autoscaler' | 'vm-service' | 'proxy' | 'email' | 'metrics' | 'external-datastores' | 'load-balancer' | 'artifacts'

export interface Field {
  section: string
  /** As the screen has it; behind a stroke, as another release has it: 'Domain Name|CircleCI Domain Name'. */
  label: string
  /** Whether it has to be filled in; with a text, when. */
  required: boolean | string
  /** What holds where nothing is filled in, and what may be. */
  allowed: string
  owner: Owner
  /** The variable that the runbook reads it from. */
  env?: string
  /** It shows nothing of what is typed, or should not. */
  secret?: true
  /** A part of its key where fields of one label are told apart by nothing else. */
  key?: RegExp
}

const row = (section: string, label: string, required: Field['required'], allowed: string, owner: Owner, more: Pick<Field, 'env' | 'secret' | 'key'> = {}): Field =>
  ({ section, label, required, allowed, owner, ...more })

const SECRET = { secret: true } as const
const S3 = /s3/i, GCS = /gcs|google/i

/** In the order of the screen. */
export const CONFIG = {
  domain: row('Frontend', 'Domain Name|CircleCI Domain Name', true, 'the name in the certificate and in the OAuth app', 'install-server', { env: 'CIRCLECI_DOMAIN' }),
  frontendReplicas: row('Frontend', 'Frontend Replicas', false, 'a number; more for more traffic', 'install-server'),
  tlsKey: row('Frontend', 'Frontend TLS Private Key', true, 'PEM: privkey.pem', 'install-server', { env: 'TLS_KEY', ...SECRET }),
  tlsCertificate: row('Frontend', 'Frontend TLS Certificate', true, 'PEM with its intermediates: fullchain.pem', 'install-server', { env: 'TLS_CERTIFICATE' }),
  letsEncrypt: row('Frontend', 'Let\'s Encrypt', false, 'off; takes the place of key and certificate, and hides Private Load Balancer', 'tls-certificates'),
  noTls: row('Frontend', 'Disable TLS Termination', false, 'off; people must reach it over HTTPS all the same', 'tls-certificates'),
  acm: row('Frontend', 'ACM', false, 'off; from 3.4 on, and makes the load balancer anew', 'tls-certificates'),
  acmArn: row('Frontend', 'ACM ARN', 'with ACM', 'arn:aws:acm:…', 'tls-certificates'),
  privateBalancer: row('Frontend', 'Private Load Balancer|Private Load Balancers', false, 'off; on EKS and GKE only, and not with Let\'s Encrypt', 'load-balancer'),
  unsafeArtifacts: row('Frontend', 'Server Unsafe Artifacts|Serve Unsafe Artifacts', false, 'off', 'artifacts'),
  signing: row('Encryption', 'Artifact Signing Key', true, 'the signing keyset', 'install-server', { env: 'KEYSET_SIGNING', ...SECRET }),
  encryption: row('Encryption', 'Encryption Signing Key', true, 'the encryption keyset', 'install-server', { env: 'KEYSET_ENCRYPTION', ...SECRET }),
  githubType: row('GitHub', 'Github Type', true, 'Cloud, or Enterprise (on premises)', 'install-server'),
  clientId: row('GitHub', 'OAuth Client ID', true, 'as the page of the app shows it', 'install-server', { env: 'GITHUB_CLIENT_ID' }),
  clientSecret: row('GitHub', 'OAuth Client Secret', true, 'as the page of the app shows it once', 'install-server', { env: 'GITHUB_CLIENT_SECRET', ...SECRET }),
  enterpriseDomain: row('GitHub', 'GitHub Enterprise Domain|Github Enterprise Fully Qualified Domain', 'with Enterprise', 'its host', 'install-server', { env: 'GITHUB_ENTERPRISE_HOST' }),
  enterpriseToken: row('GitHub', 'Personal Access Token|Github Enterprise Personal Access Token|Default Token', 'with Enterprise', 'a personal access token there', 'install-server', { env: 'GITHUB_ENTERPRISE_TOKEN', ...SECRET }),
  proxy: row('Proxy', 'HTTP Proxy Enabled|Enable HTTP Proxy', false, 'off', 'proxy'),
  httpProxy: row('Proxy', 'HTTP Proxy URI|HTTP Proxy', 'behind a proxy', 'http://…, never https://: the JVM', 'install-server', { env: 'SERVER_HTTP_PROXY' }),
  httpsProxy: row('Proxy', 'HTTPS Proxy URI|HTTPS Proxy', 'behind a proxy', 'http://…, never https://: the JVM', 'install-server', { env: 'SERVER_HTTPS_PROXY' }),
  noProxy: row('Proxy', 'No Proxy List|No-Proxy List|No Proxy', 'behind a proxy', 'hosts with commas; after the first deploy the load balancers of output-processor and vm-service too', 'install-server', { env: 'SERVER_NO_PROXY' }),
  proxyAuthenticated: row('Proxy', 'HTTP Proxy Authenticated', false, 'off', 'proxy'),
  proxyUser: row('Proxy', 'HTTP Proxy User', 'with an authenticated proxy', '', 'proxy'),
  proxyPassword: row('Proxy', 'HTTP Proxy Password', 'with an authenticated proxy', '', 'proxy', SECRET),
  storage: row('Object Storage', 'Storage Type|Object Storage Provider|Provider', true, 'S3 Compatible, or Google Cloud Storage', 'install-server'),
  s3Bucket: row('Object Storage', 'Storage Bucket Name', 'with S3 Compatible', 'a bucket that is there', 'install-server', { env: 'OBJECT_STORAGE_BUCKET', key: S3 }),
  s3Region: row('Object Storage', 'AWS S3 Region', 'on AWS', 'excludes the endpoint', 'install-server', { env: 'AWS_REGION' }),
  s3Endpoint: row('Object Storage', 'S3 Endpoint', 'elsewhere than on AWS', 'excludes the region', 'install-server', { env: 'S3_ENDPOINT' }),
  s3Expiry: row('Object Storage', 'Storage Object Expiry', 'with S3 Compatible', 'days; 0 keeps for ever', 'install-server', { env: 'OBJECT_STORAGE_EXPIRY', key: /^(?!.*(gcs|google)).*$/i }),
  s3Authentication: row('Object Storage', 'Authentication|IAM Access Type', false, 'IAM keys, or IAM role', 'install-server', { key: S3 }),
  s3AccessKey: row('Object Storage', 'Access Key ID', 'with IAM keys', '', 'install-server', { key: S3 }),
  s3SecretKey: row('Object Storage', 'Secret Key', 'with IAM keys', '', 'install-server', { key: S3, ...SECRET }),
  s3Role: row('Object Storage', 'Role ARN', 'with an IAM role', 'arn:aws:iam::…:role/…', 'install-server', { env: 'OBJECT_STORAGE_ROLE', key: S3 }),
  gcsBucket: row('Object Storage', 'Storage Bucket Name', 'with Google Cloud Storage', 'a bucket that is there', 'install-server', { env: 'OBJECT_STORAGE_BUCKET', key: GCS }),
  gcsExpiry: row('Object Storage', 'Storage Object Expiry', 'with Google Cloud Storage', 'days; 0 keeps for ever', 'install-server', { env: 'OBJECT_STORAGE_EXPIRY', key: GCS }),
  gcsKey: row('Object Storage', 'Service Account JSON', 'with Google Cloud Storage and a key', 'a key of the service account', 'install-server', { key: GCS, ...SECRET }),
  gcsAccount: row('Object Storage', 'GCP Workload Identity Service Account Email|Service Account Email', 'with Workload Identity, from 3.4 on', 'circleci-server@PROJECT.iam.gserviceaccount.com', 'install-server', { key: GCS }),
  postgres: row('Postgres', 'Postgres|PostgreSQL Type', true, 'Internal, or External', 'external-datastores'),
  postgresSize: row('Postgres', 'PostgreSQL Persistent Volume Size', false, '8; a number without a unit, which only grows', 'expand-pvc'),
  postgresHost: row('Postgres', 'Service Domain', 'with External', 'postgresql', 'external-datastores', { key: /postgres/i }),
  postgresPort: row('Postgres', 'Port|Service Port', 'with External', '5432', 'external-datastores', { key: /postgres/i }),
  postgresUser: row('Postgres', 'User|Username', 'with External', 'postgres', 'external-datastores', { key: /postgres/i }),
  postgresPassword: row('Postgres', 'Password', 'with External', '', 'external-datastores', { key: /postgres/i, ...SECRET }),
  mongodb: row('MongoDB', 'MongoDB|MongoDB Type', true, 'Internal, or External', 'external-datastores'),
  mongodbSize: row('MongoDB', 'MongoDB Persistent Volume Size', false, '8; a number without a unit, which only grows', 'expand-pvc'),
  mongodbHosts: row('MongoDB', 'MongoDB Connection Host(s) or IP(s)|MongoDB Hosts', 'with External', 'host:port with commas; 27017 where no port is named', 'external-datastores'),
  mongodbSsl: row('MongoDB', 'Use SSL for connection to MongoDB|Use SSL', 'with External', 'yes, or no', 'external-datastores'),
  mongodbInsecure: row('MongoDB', 'Allow insecure TLS connections', false, 'off; for an authority of your own, and not safe', 'external-datastores'),
  mongodbUser: row('MongoDB', 'MongoDB User', 'with External', 'one with the role dbAdmin', 'external-datastores'),
  mongodbPassword: row('MongoDB', 'MongoDB Password', 'with External', '', 'external-datastores', SECRET),
  mongodbSource: row('MongoDB', 'MongoDB Authentication Source Database', 'with External', 'admin', 'external-datastores'),
  mongodbMechanism: row('MongoDB', 'MongoDB Authentication Mechanism', 'with External', 'SCRAM-SHA-1', 'external-datastores'),
  mongodbOptions: row('MongoDB', 'Additional Connection Options', false, 'a query string, encoded for addresses', 'external-datastores'),
  vault: row('Vault', 'Vault|Vault Type', true, 'Internal, or External; never to be switched afterwards', 'external-datastores'),
  vaultUrl: row('Vault', 'Vault URL|URL', 'with External', 'http://vault.server.com:8200', 'external-datastores', { key: /vault/i }),
  vaultPath: row('Vault', 'Vault Transit Path|Transit Path', 'with External', 'transit', 'external-datastores', { key: /vault/i }),
  vaultToken: row('Vault', 'Vault Token|Token', 'with External', '', 'external-datastores', { key: /vault/i, ...SECRET }),
  outputProcessor: row('Output Processor', 'Output Processor Load Balancer|Output Processor Load Balancer Hostname', true, 'address of the service output-processor', 'output-processor'),
  outputReplicas: row('Output Processor', 'Output Processor Replicas', false, '2 or more; more where output is slow', 'output-processor'),
  nomadBalancer: row('Nomad', 'Nomad Load Balancer|Nomad Load Balancer Hostname', true, 'address of the service nomad-server-external', 'nomad-terraform'),
  nomadCertificate: row('Nomad', 'Nomad Server Certificate', true, 'an output of Terraform', 'nomad-terraform'),
  nomadKey: row('Nomad', 'Nomad Server Private Key', true, 'an output of Terraform', 'nomad-terraform', SECRET),
  nomadCa: row('Nomad', 'Nomad Server Certificate Authority (CA) Certificate|CA Certificate', true, 'an output of Terraform', 'nomad-terraform'),
  autoscaler: row('Nomad Autoscaler', 'Nomad Autoscaler Enabled|Enabled', false, 'off', 'nomad-autoscaler', { key: /scal/i }),
  autoscalerMax: row('Nomad Autoscaler', 'Maximum Node Count|Max Node Count', 'with the autoscaler', 'as in Terraform: it overwrites the group\'s', 'nomad-autoscaler'),
  autoscalerMin: row('Nomad Autoscaler', 'Minimum Node Count|Min Node Count', 'with the autoscaler', 'as in Terraform: it overwrites the group\'s', 'nomad-autoscaler'),
  autoscalerProvider: row('Nomad Autoscaler', 'Select Cloud Provider|Provider', 'with the autoscaler', 'AWS EC2, or Google Cloud Platform', 'nomad-autoscaler', { key: /scal/i }),
  autoscalerRegion: row('Nomad Autoscaler', 'AWS Region|Region', 'on AWS', 'region of the group', 'nomad-autoscaler', { env: 'AWS_REGION', key: /scal/i }),
  autoscalerAuthentication: row('Nomad Autoscaler', 'Authentication|IAM Access Type', false, 'IAM keys, or IAM role', 'nomad-autoscaler', { key: /scal/i }),
  autoscalerAccessKey: row('Nomad Autoscaler', 'Access Key ID|AWS Access Key', 'with IAM keys', '', 'nomad-autoscaler', { key: /scal/i }),
  autoscalerSecretKey: row('Nomad Autoscaler', 'Secret Key|AWS Secret Key', 'with IAM keys', '', 'nomad-autoscaler', { key: /scal/i, ...SECRET }),
  autoscalerRole: row('Nomad Autoscaler', 'Role ARN|IAM Role ARN', 'with an IAM role', 'arn:aws:iam::…:role/…', 'nomad-autoscaler', { key: /scal/i }),
  autoscalerGroup: row('Nomad Autoscaler', 'Autoscaling Group Name', 'on AWS', 'an output of Terraform', 'nomad-autoscaler'),
  autoscalerProject: row('Nomad Autoscaler', 'GCP Project ID|Project ID', 'on Google Cloud', '', 'nomad-autoscaler', { env: 'CLOUDSDK_CORE_PROJECT', key: /scal/i }),
  autoscalerInstances: row('Nomad Autoscaler', 'Managed Instance Group Name', 'on Google Cloud', 'an output of Terraform', 'nomad-autoscaler'),
  autoscalerType: row('Nomad Autoscaler', 'Instance Group Type|Managed Instance Group Type', 'on Google Cloud', 'Zonal, or Regional', 'nomad-autoscaler'),
  autoscalerKey: row('Nomad Autoscaler', 'Service Account JSON|GCP Service Account JSON', 'on Google Cloud, with a key', '', 'nomad-autoscaler', { key: /scal/i, ...SECRET }),
  autoscalerAccount: row('Nomad Autoscaler', 'GCP Workload Identity Service Account Email|GCP IAM Workload Identity|Service Account Email', 'with Workload Identity, from 3.4 on', 'nomad-autoscaler@PROJECT.iam.gserviceaccount.com', 'nomad-autoscaler', { key: /scal/i }),
  vmBalancer: row('VM Service', 'VM Service Load Balancer Hostname', true, 'address of the service vm-service', 'vm-service'),
  vmPort: row('VM Service', 'VM Service Load Balancer Port', false, '3000; another one only where support says so', 'vm-service'),
  vmPublic: row('VM Service', 'Assign Public IPs|Assign a public IP', false, 'on', 'vm-service'),
  vmProvider: row('VM Service', 'VM Provider|VM Service Provider|Provider', true, 'AWS EC2, or Google Cloud Platform', 'vm-service', { key: /vm/i }),
  vmRegion: row('VM Service', 'AWS Region', 'on AWS', '', 'vm-service', { key: /vm/i }),
  vmLinuxAmi: row('VM Service', 'AWS Linux AMI ID|Linux AMI ID|Custom Linux AMI ID', false, 'one for each region', 'vm-service'),
  vmWindowsAmi: row('VM Service', 'AWS Windows AMI ID|Windows AMI ID', false, 'empty: no Windows', 'vm-service'),
  vmSubnets: row('VM Service', 'Subnets', 'on AWS', 'all of one availability zone', 'vm-service'),
  vmGroup: row('VM Service', 'Security Group ID', 'on AWS', '', 'vm-service'),
  vmAuthentication: row('VM Service', 'Authentication|AWS IAM Access Type', false, 'IAM keys, or IAM role', 'vm-service', { key: /vm/i }),
  vmAccessKey: row('VM Service', 'Access Key ID', 'with IAM keys', 'other keys than those of the object storage', 'vm-service', { key: /vm/i }),
  vmSecretKey: row('VM Service', 'Secret Key|Secret Access Key', 'with IAM keys', '', 'vm-service', { key: /vm/i, ...SECRET }),
  vmRole: row('VM Service', 'Role ARN', 'with an IAM role', '', 'vm-service', { key: /vm/i }),
  vmProject: row('VM Service', 'GCP Project ID', 'on Google Cloud', '', 'vm-service', { key: /vm/i }),
  vmZone: row('VM Service', 'GCP Zone for your VMs|GCP Zone|Zone', 'on Google Cloud', 'us-east1-b', 'vm-service'),
  vmNetwork: row('VM Service', 'GCP VPC Network|VPC Network', 'on Google Cloud', 'its name; in a shared VPC its whole address', 'vm-service'),
  vmSubnet: row('VM Service', 'GCP VPC Subnet|VPC Subnet', false, 'empty with auto-subnetting; in a shared VPC its whole address', 'vm-service'),
  vmWindowsImage: row('VM Service', 'GCP Windows Image|Windows Image', false, 'empty: no Windows', 'vm-service'),
  vmAccount: row('VM Service', 'GCP IAM Access Type|IAM Access Type', 'on Google Cloud', 'GCP Service Account JSON file, or IAM Workload Identity', 'vm-service', { key: /vm/i }),
  vmKey: row('VM Service', 'GCP Service Account JSON file|Service Account JSON', 'on Google Cloud, with a key', 'a key of the service account', 'vm-service', { key: /vm/i, ...SECRET }),
  vmIdentity: row('VM Service', 'GCP IAM Workload Identity|GCP Workload Identity Service Account Email', 'with Workload Identity', 'circleci-server-vm@PROJECT.iam.gserviceaccount.com', 'vm-service', { key: /vm/i }),
  vmPrescaledDocker: row('VM Service', 'Number of remote Docker VMs to keep prescaled', false, '0; 0 to 5', 'vm-service'),
  vmPrescaledMachine: row('VM Service', 'Number of machine VMs to keep prescaled|Number of Linux VMs to keep prescaled', false, '0; 0 to 5', 'vm-service'),
  vmPrescaledWindows: row('VM Service', 'Number of Windows VMs to keep prescaled', false, '0; 0 to 5', 'vm-service'),
  mailHost: row('Email', 'Email Submission server hostname', true, 'smtp.sendgrid.net', 'email'),
  mailUser: row('Email', 'Username', true, '', 'email', { key: /mail|smtp/i }),
  mailPassword: row('Email', 'Password', true, '', 'email', { key: /mail|smtp/i, ...SECRET }),
  mailPort: row('Email', 'Port', false, '25, or 587; never 465', 'email', { key: /mail|smtp/i }),
  mailTls: row('Email', 'Enable StartTLS', false, 'on', 'email'),
  mailFrom: row('Email', 'Email from address', true, '', 'email'),
  telegraf: row('Observability', 'Custom Telegraf config', false, 'TOML: [[outputs.…]]', 'metrics'),
  noPrometheus: row('Observability', 'Disable Prometheus', false, 'off; Prometheus reads the whole cluster', 'metrics'),
} satisfies Record<string, Field>

export type FieldName = keyof typeof CONFIG
