//! A gateway to Stripe that loses requests and answers at random.

use super::Random;
use async_trait::async_trait;
use shop::payments::{
    Gateway, ProviderMode,
    gateway::{
        ConfirmIntent, CreateIntent, DisputeFilter, GatewayError, Intent, IntentPage,
        ProviderDispute, ProviderRefund, RefundRequest,
    },
};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};
use stripe_gateway::StripeGateway;

pub struct LossyGateway {
    stripe: StripeGateway,
    random: Mutex<Random>,
    /// Percentage of requests that are lost, and of answers.
    percent: AtomicUsize,
}

enum Lost {
    Nothing,
    Request,
    Answer,
}

impl LossyGateway {
    pub fn new(stripe: StripeGateway, random: Random, percent: usize) -> Self {
        Self {
            stripe,
            random: Mutex::new(random),
            percent: AtomicUsize::new(percent),
        }
    }

    /// Stops losing requests and answers.
    pub fn stop_losses(&self) {
        self.percent.store(0, Ordering::SeqCst);
    }

    fn choose_loss(&self) -> Lost {
        let percent = self.percent.load(Ordering::SeqCst);
        let chosen = self.random.lock().unwrap().below(100);
        if chosen < percent {
            Lost::Request
        } else if chosen < 2 * percent {
            Lost::Answer
        } else {
            Lost::Nothing
        }
    }

    async fn send<T>(
        &self,
        call: impl Future<Output = Result<T, GatewayError>>,
    ) -> Result<T, GatewayError> {
        let lost = || Err(GatewayError::Unknown("lost by the test".to_owned()));
        match self.choose_loss() {
            Lost::Nothing => call.await,
            Lost::Request => lost(),
            Lost::Answer => {
                let _ = call.await;
                lost()
            }
        }
    }
}

#[async_trait]
impl Gateway for LossyGateway {
    fn mode(&self) -> ProviderMode {
        self.stripe.mode()
    }

    async fn create(&self, key: &str, create: &CreateIntent) -> Result<Intent, GatewayError> {
        self.send(self.stripe.create(key, create)).await
    }

    async fn confirm(
        &self,
        key: &str,
        intent: &str,
        confirm: &ConfirmIntent,
    ) -> Result<Intent, GatewayError> {
        self.send(self.stripe.confirm(key, intent, confirm)).await
    }

    async fn capture(&self, key: &str, intent: &str) -> Result<Intent, GatewayError> {
        self.send(self.stripe.capture(key, intent)).await
    }

    async fn cancel(&self, key: &str, intent: &str) -> Result<Intent, GatewayError> {
        self.send(self.stripe.cancel(key, intent)).await
    }

    async fn retrieve(&self, intent: &str) -> Result<Intent, GatewayError> {
        self.send(self.stripe.retrieve(intent)).await
    }

    async fn list_intents(
        &self,
        since: i64,
        after: Option<&str>,
    ) -> Result<IntentPage, GatewayError> {
        self.send(self.stripe.list_intents(since, after)).await
    }

    async fn refund(
        &self,
        key: &str,
        intent: &str,
        request: &RefundRequest,
    ) -> Result<ProviderRefund, GatewayError> {
        self.send(self.stripe.refund(key, intent, request)).await
    }

    async fn list_refunds(&self, intent: &str) -> Result<Vec<ProviderRefund>, GatewayError> {
        self.send(self.stripe.list_refunds(intent)).await
    }

    async fn list_disputes(
        &self,
        filter: DisputeFilter<'_>,
    ) -> Result<Vec<ProviderDispute>, GatewayError> {
        self.send(self.stripe.list_disputes(filter)).await
    }
}
