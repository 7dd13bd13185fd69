# frozen_string_literal: true

require "json"
require_relative "../browser/example"
require_relative "../pubsub/redis"

# examples/cluster.rb, by clients of its processes.
RSpec.describe "examples/cluster.rb", :extension, timeout: 60 do
  before { skip "there is no redis-server (bin/setup unpacks it)" unless Redis::PATH }

  around do |example|
    next example.run unless Redis::PATH

    Redis.run do |redis|
      Example.run("cluster", env: { "PUBSUB" => redis.url, "PROCESSES" => "3" }) do |server|
        @server = server
        server.wait_for(/(Process \d+ begins.*){3}/m)
        example.run
      end
    end
  end

  def hear(client) = JSON.parse(client.read_text)

  # A client, and what it is told first.
  def come(since = nil)
    client = dial(port: @server.port)
    client.open(target: "/#{"?since=#{since}" if since}")
    [client, hear(client)]
  end

  # Clients by the numbers of their processes, until there are so many of those.
  def clients_of(count)
    deadline = Process.clock_gettime(Process::CLOCK_MONOTONIC) + 20
    clients = {}
    until clients.size == count
      raise "only of #{clients.keys}" if Process.clock_gettime(Process::CLOCK_MONOTONIC) > deadline

      client, welcome = come
      clients[welcome.fetch("process")] ||= client
    end
    clients
  end

  def started = @server.said.scan(/Process (\d+) begins/).flatten.map(&:to_i)

  it "is one chat of several processes, and goes on where one of them is killed" do
    clients = clients_of(3)
    expect(clients.keys).to match_array(started)
    clients.each_value.with_index do |speaker, number|
      speaker.text("hello #{number}")
      heard = clients.values.map { |client| hear(client) }
      expect(heard.map { |message| message["message"] }).to eq(["hello #{number}"] * 3)
      expect(heard.map { |message| message["position"] }.uniq.first).to end_with(":#{number + 1}")
    end

    killed, lost = clients.shift
    Process.kill("KILL", killed)
    expect(lost.read_to_end).to be_empty
    clients.values.first.text("missed")
    missed = clients.values.map { |client| hear(client) }
    expect(missed.map { |message| message["message"] }).to eq(%w[missed missed])

    @server.wait_for(/Process #{killed} has ended: .*KILL.*\nProcess \d+ begins/)
    epoch = missed.first["position"][/\h+/]
    back, first = come("#{epoch}:3")
    expect(first).to eq(missed.first)
    expect(hear(back)).to include("recovered" => true)
    _, welcome = come
    expect(welcome["recovered"]).to be false
    expect(welcome["kept"].map(&:last)).to eq(["hello 0", "hello 1", "hello 2", "missed"])
    expect(clients_of(3).keys).to match_array(started - [killed])
  end

  it "replaces a process that is told to end, whose clients are told to come back" do
    ended, client = clients_of(1).first
    Process.kill("TERM", ended)
    expect(client.read(:close).unpack1("n")).to eq(1012)
    client.close(1012)
    @server.wait_for(/Process #{ended} has ended: .*exit 0\nProcess \d+ begins/)
  end
end
