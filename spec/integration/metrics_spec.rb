# frozen_string_literal: true

require "json"
require "open3"
require "tempfile"

# Statistics of servers, as Prometheus reads them.
RSpec.describe EventMachine::WebSocket, ".metrics", :extension do
  include HttpClient

  def exposition = Exposition.new(server.call { described_class.metrics })
  def address = "127.0.0.1:#{server.port}"

  it "has every number of the statistics, and keeps to the format" do
    serve { |ws| ws.onmessage { |text| ws.send(text * 2) } }
    client = connect
    client.text("hello")
    client.read_text
    ask("GET", "/")
    values = exposition.values(address)
    stats = server.call { described_class.stats(server.signature) }

    expect(values).to include(
      "connections" => be_between(1, 2), "connections_accepted_total" => 2.0,
      "messages_received_total" => 1.0, "received_bytes_total" => 5.0, "sent_bytes_total" => 10.0,
      'handshakes_failed_total{reason="not_upgrade"}' => 1.0,
      'connections_ended_total{limit="ping_timeout"}' => 0.0
    )
    numbers = values.reject { |name, _| name.match?(/_bucket|_sum|_count|handshakes_failed/) }
    # Those that are Hashes, and the drains, which a histogram has.
    expect(numbers.size).to eq(stats.size - 2)
    expect(values["drain_duration_seconds_count"]).to be_between(1, stats[:drains])
  end

  it "is all that promtool wants of it" do
    skip "there is no promtool" unless system("promtool", "--version", %i[out err] => File::NULL)
    serve
    server.also
    connect.tap { |client| client.text("x") }.read_text
    ask("GET", "/")
    said, status = Open3.capture2e("promtool", "check", "metrics",
                                   stdin_data: server.call { described_class.metrics })

    expect(said).to eq("")
    expect(status).to be_success
  end

  it "has histograms of how long drains took, and events waited" do
    serve { |ws| ws.onmessage { |text| sleep(Float(text)) && ws.send("done") } }
    client = connect
    client.text("0.05")
    other = connect # Its event waits for as long as the block takes.
    client.read_text
    values = exposition.values(address)
    buckets = lambda do |name|
      values.filter_map { |key, value| value if key.start_with?("#{name}_bucket") }
    end

    expect(other.response[:status]).to include("101")
    %w[drain_duration_seconds queue_wait_seconds].each do |name|
      counts = buckets.call(name)
      expect(counts).to eq(counts.sort)
      expect(counts.last).to eq(values["#{name}_count"])
      expect(counts.last - values["#{name}_bucket{le=\"0.03\"}"]).to be_between(0, 2)
    end
    expect(values["drain_duration_seconds_sum"]).to be_between(0.05, 5)
    expect(values['drain_duration_seconds_bucket{le="0.03"}'])
      .to be < values["drain_duration_seconds_count"]
  end

  it "counts how long an event has waited while the reactor was busy" do
    serve
    connect
    busy = Mailbox.new
    EM.next_tick do
      busy << true
      sleep 0.1
    end
    busy.pop
    connect
    values = exposition.values(address)

    expect(values["queue_wait_seconds_sum"]).to be_between(0.05, 5)
    expect(values["queue_wait_seconds_count"])
      .to be > values['queue_wait_seconds_bucket{le="0.03"}']
  end

  it "tells servers apart, and is empty where there is none" do
    serve
    _, port = server.also
    connect

    expect(exposition.values(address)["connections"]).to eq(1.0)
    expect(exposition.values("127.0.0.1:#{port}")["connections"]).to eq(0.0)
    expect(described_class::METRICS_TYPE).to start_with("text/plain; version=0.0.4")
    server.stop
    expect(described_class.metrics).to eq("")
  end

  it "is what the dashboard and the alerts ask for" do
    serve
    names = exposition.types.flat_map do |name, type|
      type == "histogram" ? %w[_bucket _sum _count].map { |part| name + part } : [name]
    end
    root = File.expand_path("../..", __dir__)
    pages = %w[docs/monitoring/grafana.json docs/monitoring.md].map do |page|
      File.read(File.join(root, page))
    end
    dashboard = JSON.parse(pages.first)
    asked = dashboard["panels"].flat_map { |panel| panel["targets"].map { |it| it["expr"] } }.join
    asked << pages.last[/```yaml\n(.*?)```/m, 1]

    expect(asked.scan(/em_websocket_\w+/).uniq - names).to be_empty
    shown = (asked + pages.last).scan(/em_websocket_\w+/)
    expect(names.map { |name| name.sub(/_(bucket|sum|count)\z/, "") } - shown).to be_empty
  end

  it "has alert rules that promtool takes" do
    skip "there is no promtool" unless system("promtool", "--version", %i[out err] => File::NULL)
    page = File.read(File.expand_path("../../docs/monitoring.md", __dir__))
    said, status = Tempfile.create(["alerts", ".yml"]) do |file|
      file.write(page[/```yaml\n(.*?)```/m, 1])
      file.flush
      Open3.capture2e("promtool", "check", "rules", file.path)
    end

    expect(said).to include("SUCCESS: 6 rules found")
    expect(status).to be_success
  end

  it "is a page of :http, for whoever scrapes" do
    serve(http: { "/metrics" => :metrics })
    response = ask("GET", "/metrics")

    expect(response["content-type"]).to eq(described_class::METRICS_TYPE)
    expect(Exposition.new(response.body).values(address)["connections"]).to eq(1.0)
  end
end
