//! A client of the cluster's API.

use anyhow::{Context, Result};
use devkit::http::{Client, Tls};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::{ClusterResourceScope, List, ListableResource, NamespaceResourceScope, Resource};
use serde::de::DeserializeOwned;

use crate::sandbox::layout::Layout;

/// The address of the API server.
pub(super) const URL: &str = "https://10.10.0.1:6443";

/// The cluster's API, as the administrator.
pub struct Kubernetes(Client);

impl Kubernetes {
    /// Connects with the administrator's certificate.
    ///
    /// # Errors
    /// When the certificates cannot be read.
    pub fn new(layout: &Layout) -> Result<Self> {
        let pki = |file: &str| layout.state("pki").join(file);
        let tls = Tls::authority(&pki("kubernetes-ca.crt"))?;
        let tls = tls.with_identity(&pki("admin.crt"), &pki("admin.key"))?;
        Ok(Self(Client::new(URL, tls)))
    }

    /// Reads an object of a namespace; `None` if it does not exist.
    ///
    /// # Errors
    /// When the API server does not answer, or the answer is not such an object.
    pub fn get<T>(&self, namespace: &str, name: &str) -> Result<Option<T>>
    where
        T: Resource<Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        let path = format!("{}/{name}", in_namespace::<T>(namespace));
        Ok(self.0.find(&path)?)
    }

    /// Reads an object that belongs to no namespace; `None` if it does not exist.
    ///
    /// # Errors
    /// As [`Kubernetes::get`].
    pub fn get_cluster_object<T>(&self, name: &str) -> Result<Option<T>>
    where
        T: Resource<Scope = ClusterResourceScope> + DeserializeOwned,
    {
        let path = format!("{}/{}/{name}", group::<T>(), T::URL_PATH_SEGMENT);
        Ok(self.0.find(&path)?)
    }

    /// Reads all objects of a kind in a namespace.
    ///
    /// # Errors
    /// As [`Kubernetes::get`].
    pub fn list<T>(&self, namespace: &str) -> Result<Vec<T>>
    where
        T: ListableResource<Scope = NamespaceResourceScope> + DeserializeOwned,
    {
        let list: Option<List<T>> = self.0.find(&in_namespace::<T>(namespace))?;
        Ok(list.map(|list| list.items).unwrap_or_default())
    }

    /// The cluster IP of a Service.
    ///
    /// # Errors
    /// When the Service does not exist yet, or has none.
    pub fn cluster_ip(&self, namespace: &str, name: &str) -> Result<String> {
        self.get::<Service>(namespace, name)?
            .with_context(|| format!("the Service {name} does not exist yet"))?
            .spec
            .and_then(|spec| spec.cluster_ip)
            .with_context(|| format!("the Service {name} has no cluster IP"))
    }

    pub(super) fn ready(&self) -> bool {
        self.0.text("/readyz").is_ok()
    }
}

/// The path of an API group. Source: Kubernetes, "API concepts".
fn group<T: Resource>() -> String {
    let root = if T::GROUP.is_empty() { "api" } else { "apis" };
    format!("/{root}/{}", T::API_VERSION)
}

fn in_namespace<T: Resource>(namespace: &str) -> String {
    format!(
        "{}/namespaces/{namespace}/{}",
        group::<T>(),
        T::URL_PATH_SEGMENT
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::apps::v1::Deployment;
    use k8s_openapi::api::core::v1::Pod;
    use serde_json::json;

    #[test]
    fn paths_have_the_group_of_the_kind() {
        assert_eq!(in_namespace::<Pod>("dev"), "/api/v1/namespaces/dev/pods");
        assert_eq!(
            in_namespace::<Deployment>("dev"),
            "/apis/apps/v1/namespaces/dev/deployments"
        );
    }

    /// The API server leaves `apiVersion` and `kind` out of a list's items.
    #[test]
    fn a_list_is_read_as_the_api_server_writes_it() {
        let answer = json!({
            "kind": "PodList",
            "apiVersion": "v1",
            "metadata": {"resourceVersion": "1"},
            "items": [{"metadata": {"name": "one"}, "status": {"phase": "Running"}}],
        });
        let list: List<Pod> = serde_json::from_value(answer).unwrap();
        assert_eq!(list.items[0].metadata.name.as_deref(), Some("one"));
    }
}
