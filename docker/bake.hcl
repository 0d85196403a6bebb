# docker buildx bake -f docker/bake.hcl            all images
# docker buildx bake -f docker/bake.hcl sbom       the same, with SBOM and provenance, pushed to REGISTRY
# docker buildx bake -f docker/bake.hcl scan       fails on a high or critical vulnerability that has a fix
variable "REGISTRY" { default = "localhost/" }
variable "VERSION" { default = "dev" }
variable "REVISION" { default = "unknown" }
variable "CREATED" { default = "unknown" }
variable "PYTHON_VERSION" { default = "3.11.14" }
variable "PYTHON_DIGEST" { default = "" }
variable "SCANNER" { default = "aquasec/trivy:0.58.0" }

group "default" { targets = ["gateway", "ui", "router", "cpu", "trainer"] }
group "sbom" { targets = ["gateway-sbom", "ui-sbom", "router-sbom", "trainer-sbom"] }
group "scan" { targets = ["gateway-scan", "ui-scan", "router-scan"] }

target "common" {
  context = "."
  platforms = ["linux/amd64"]
  args = {
    VERSION = VERSION
    REVISION = REVISION
    CREATED = CREATED
    PYTHON_VERSION = PYTHON_VERSION
    PYTHON_DIGEST = PYTHON_DIGEST
  }
}

target "gateway" {
  inherits = ["common"]
  dockerfile = "docker/gateway.Dockerfile"
  target = "gateway"
  tags = ["${REGISTRY}gazal-gateway:${VERSION}"]
}

target "ui" {
  inherits = ["common"]
  dockerfile = "docker/gateway.Dockerfile"
  target = "ui"
  tags = ["${REGISTRY}gazal-ui:${VERSION}"]
}

target "router" {
  inherits = ["common"]
  dockerfile = "docker/router.Dockerfile"
  tags = ["${REGISTRY}gazal-router:${VERSION}"]
}

target "cpu" {
  inherits = ["common"]
  dockerfile = "docker/cpu.Dockerfile"
  tags = ["${REGISTRY}gazal-cpu:${VERSION}"]
}

target "trainer" {
  inherits = ["common"]
  dockerfile = "docker/trainer.Dockerfile"
  tags = ["${REGISTRY}gazal-trainer:${VERSION}"]
}

target "attested" {
  attest = ["type=sbom", "type=provenance,mode=max"]
  output = ["type=registry"]
}

target "gateway-sbom" { inherits = ["gateway", "attested"] }
target "ui-sbom" { inherits = ["ui", "attested"] }
target "router-sbom" { inherits = ["router", "attested"] }
target "trainer-sbom" { inherits = ["trainer", "attested"] }

# The scanner reads the files of the image that was just built, as another build context, so no daemon is needed.
target "scanner" {
  dockerfile-inline = <<EOT
FROM ${SCANNER}
COPY --from=image / /image
RUN trivy rootfs --exit-code 1 --severity HIGH,CRITICAL --ignore-unfixed --scanners vuln,secret /image
EOT
  output = ["type=cacheonly"]
}

target "gateway-scan" {
  inherits = ["scanner"]
  contexts = { image = "target:gateway" }
}

target "ui-scan" {
  inherits = ["scanner"]
  contexts = { image = "target:ui" }
}

target "router-scan" {
  inherits = ["scanner"]
  contexts = { image = "target:router" }
}
