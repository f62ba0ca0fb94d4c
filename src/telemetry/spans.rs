//! Traces: one for each change, from its acceptance over the calls to the opposite side to the deliveries of its events.
//!
//! A trace is found by an id that is stored anyway: that of the change. Nothing is carried from process to process, and whichever
//! of them works on a change adds to its trace. Without the feature `otlp` nothing here does anything. Must not be given who a person is.

/// A part of what became of a change.
#[derive(Clone, Debug)]
#[cfg_attr(not(feature = "otlp"), expect(dead_code, reason = "nobody reads them"))]
pub struct Span {
    change_id: String,
    name: &'static str,
    /// The whole of it, of which the others are parts.
    whole: bool,
    /// A call to somebody else.
    call: bool,
    /// Epoch milliseconds.
    begun: i64,
    ended: i64,
    attributes: Vec<(&'static str, String)>,
    error: Option<String>,
}

impl Span {
    /// A part, from one time to another.
    #[must_use]
    pub fn new(change_id: &str, name: &'static str, begun: i64, ended: i64) -> Self {
        let change_id = change_id.to_owned();
        Self { change_id, name, whole: false, call: false, begun, ended, attributes: Vec::new(), error: None }
    }

    /// All that became of a change.
    #[must_use]
    pub fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    /// A call to somebody else.
    #[must_use]
    pub fn call(self) -> Self {
        Self { call: true, ..self }
    }

    /// With something to know about it.
    #[must_use]
    pub fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.attributes.push((name, value.to_string()));
        self
    }

    /// With what went wrong, if anything did.
    #[must_use]
    pub fn failed(self, error: Option<impl ToString>) -> Self {
        Self { error: error.map(|error| error.to_string()), ..self }
    }
}

/// What there is to tell; not asked where nobody collects it.
pub fn gathered<I: IntoIterator<Item = Span>>(spans: impl FnOnce() -> I) -> Vec<Span> {
    if collected() { spans().into_iter().collect() } else { Vec::new() }
}

#[cfg(not(feature = "otlp"))]
const fn collected() -> bool {
    false
}

/// Hands spans to the collector, in the background.
#[cfg(not(feature = "otlp"))]
pub fn send(_: Vec<Span>) {}

#[cfg(feature = "otlp")]
use collector::collected;
#[cfg(feature = "otlp")]
pub use collector::{end, send, start};

#[cfg(feature = "otlp")]
mod collector {
    //! The way out: OTLP over HTTP, as the variables of the OpenTelemetry specification say.

    use std::sync::OnceLock;
    use std::time::{Duration, UNIX_EPOCH};

    use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
    use opentelemetry::{InstrumentationScope, KeyValue};
    use opentelemetry_otlp::SpanExporter;
    use opentelemetry_sdk::Resource;
    use opentelemetry_sdk::trace::{BatchSpanProcessor, SpanData, SpanEvents, SpanLinks, SpanProcessor};
    use uuid::Uuid;

    use super::Span;

    static COLLECTOR: OnceLock<Collector> = OnceLock::new();
    const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"];

    struct Collector {
        processor: BatchSpanProcessor,
        /// Of 2^56: which part of the traces is sent.
        share: u64,
    }

    pub(super) fn collected() -> bool {
        COLLECTOR.get().is_some()
    }

    /// Begins to send, where an endpoint is set. `OTEL_TRACES_SAMPLER_ARG` is the share of the traces that is sent, all unless set;
    /// the same ones by every process.
    pub fn start() {
        if ENDPOINTS.iter().all(|name| std::env::var_os(name).is_none()) || collected() {
            return;
        }
        let exporter = match SpanExporter::builder().with_http().build() {
            Ok(exporter) => exporter,
            Err(error) => {
                tracing::error!(%error, "no traces are sent: see OTEL_EXPORTER_OTLP_ENDPOINT");
                return;
            }
        };
        let given = std::env::var("OTEL_TRACES_SAMPLER_ARG").ok().and_then(|share| share.parse::<f64>().ok());
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a share of 2^56, between both ends"
        )]
        let share = (given.unwrap_or(1.0).clamp(0.0, 1.0) * (1_u64 << 56) as f64) as u64;
        let mut processor = BatchSpanProcessor::builder(exporter).build();
        let service = std::env::var("OTEL_SERVICE_NAME").unwrap_or_else(|_| "campaign-sync".to_owned());
        processor.set_resource(&Resource::builder().with_service_name(service).build());
        let _ = COLLECTOR.set(Collector { processor, share });
    }

    /// Sends what is still here. To be called once, when the process ends.
    pub fn end() {
        if let Some(collector) = COLLECTOR.get()
            && let Err(error) = collector.processor.shutdown_with_timeout(Duration::from_secs(5))
        {
            tracing::warn!(%error, "the last traces were not sent");
        }
    }

    /// Hands spans to the collector, in the background.
    pub fn send(spans: Vec<Span>) {
        let Some(collector) = COLLECTOR.get() else { return };
        for span in spans {
            let Ok(change) = Uuid::parse_str(&span.change_id) else { continue };
            // The last seven bytes are random, so that every process picks the same changes.
            if change.as_u64_pair().1 & ((1 << 56) - 1) < collector.share {
                collector.processor.on_end(data(span, change));
            }
        }
    }

    fn data(span: Span, change: Uuid) -> SpanData {
        // Of the whole, known to all that add to it.
        let root = SpanId::from_bytes(change.as_u64_pair().1.to_be_bytes());
        let (id, parent) = match span.whole {
            true => (root, SpanId::INVALID),
            false => (SpanId::from_bytes(Uuid::now_v7().as_u64_pair().1.to_be_bytes()), root),
        };
        let trace = TraceId::from_bytes(*change.as_bytes());
        let at = |millis: i64| UNIX_EPOCH + Duration::from_millis(u64::try_from(millis).unwrap_or(0));
        SpanData {
            span_context: SpanContext::new(trace, id, TraceFlags::SAMPLED, false, TraceState::default()),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind: if span.call { SpanKind::Client } else { SpanKind::Consumer },
            name: span.name.into(),
            start_time: at(span.begun),
            end_time: at(span.ended.max(span.begun)),
            attributes: span.attributes.into_iter().map(|(name, value)| KeyValue::new(name, value)).collect(),
            dropped_attributes_count: 0,
            events: SpanEvents::default(),
            links: SpanLinks::default(),
            status: span.error.map_or(Status::Unset, Status::error),
            instrumentation_scope: InstrumentationScope::builder("campaign-sync").build(),
        }
    }
}
