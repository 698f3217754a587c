# The images of Argo CD, for a VM and a test without a network. Computing their hashes needs a network, so the list is
# empty by default. The offline VM then pulls these images, and the test `argocd` is not available. To fill the list,
# add the output of these commands:
#
#   nix run nixpkgs#nix-prefetch-docker -- --image-name quay.io/argoproj/argocd --image-tag v3.4.4
#   nix run nixpkgs#nix-prefetch-docker -- --image-name ecr-public.aws.com/docker/library/redis --image-tag 8.2.3-alpine
[]
