# frozen_string_literal: true

require "json"
require "net/http"
require "open3"
require "openssl"
require_relative "../browser/example"
require_relative "../pubsub/redis"

# examples/pusher.rb, by Pusher's own libraries, and by what they would never send.
RSpec.describe "examples/pusher.rb", :extension, timeout: 60 do
  # One for all of them, but for what looks at everything in it.
  before(:context) { @shared = Example.new("pusher") }
  after(:context) { @shared.stop }
  around(:each, :own) do |example|
    Example.run("pusher") { |server| @server = server and example.run }
  end
  before { @server ||= @shared }

  address = "/app/key?protocol=7&client=js&version=8.6.0"

  # A client, and its socket_id.
  define_method(:join) do
    client = dial(port: @server.port).tap { |one| one.open(target: address) }
    hello = hear(client)
    expect(hello["event"]).to eq("pusher:connection_established")
    data = JSON.parse(hello["data"])
    expect(data["activity_timeout"]).to eq(120)
    [client, data["socket_id"]]
  end

  def hear(client) = JSON.parse(client.read_text)
  def say(client, event, **more) = client.text(JSON.generate(event: event, **more))

  # Answer of the server to this.
  def answer(client, ...)
    say(client, ...)
    hear(client)
  end

  def sign(text, secret = "secret") = OpenSSL::HMAC.hexdigest("SHA256", secret, text)
  def auth(*parts) = "key:#{sign(parts.join(":"))}"

  def subscribe(client, channel, **data)
    answer(client, "pusher:subscribe", data: { channel: channel, **data })
  end

  def enter(client, socket, channel, user)
    whom = JSON.generate(user_id: user, user_info: { name: user.upcase })
    subscribe(client, channel, auth: auth(socket, channel, whom), channel_data: whom)
  end

  # The status and the body of a request whose query is signed, but for what is changed.
  def request(verb, path, body = nil, secret: "secret", ago: 0, changed: {}, **query)
    text = body && (body.is_a?(String) ? body : JSON.generate(body))
    query = { auth_key: "key", auth_timestamp: Time.now.to_i - ago, auth_version: "1.0", **query }
    query[:body_md5] = OpenSSL::Digest::MD5.hexdigest(text) if text
    query = query.merge(changed).compact
    pairs = query.sort.map { |pair| pair.join("=") }.join("&")
    query[:auth_signature] ||= sign([verb, path, pairs].join("\n"), secret)
    target = "#{path}?#{query.map { |pair| pair.join("=") }.join("&")}"
    http = Net::HTTP.new("127.0.0.1", @server.port)
    response = http.send_request(verb, target, text)
    [Integer(response.code), JSON.parse(response.body)]
  end

  def trigger(event, **options) = request("POST", "/apps/id/events", event, **options)

  describe "npm's pusher-js and pusher" do
    it "connect, subscribe, publish, and are told who is there", :own do
      installed = File.expand_path("../../tmp/clients/node_modules", __dir__)
      script = File.expand_path("../clients/pusher.cjs", __dir__)
      output, errors, = Open3.capture3({ "NODE_PATH" => installed }, "node", script,
                                       @server.port.to_s)
      raise "the clients printed nothing (spec/clients/install ran?): #{errors}" if output.empty?

      bob = { "id" => "bob", "info" => { "name" => "name bob" } }
      names = %w[ada bob].to_h { |user| [user, { "name" => "name #{user}" }] }
      all = [["hello", { "text" => "Grüße" }], ["others", "but one"], ["batch", { "n" => 1 }],
             ["last", 2]]
      expect(JSON.parse(output)).to eq(
        "events" => { "first" => all.values_at(0, 2, 3), "second" => all },
        "clientEvents" => {
          "came" => { "who" => "ada" }, "own" => [],
          "refused" => {
            "code" => 4301, "message" => "Client event rejected: not on a public channel"
          }
        },
        "presence" => {
          "added" => bob, "members" => names, "me" => "bob",
          "users" => { "users" => [{ "id" => "ada" }, { "id" => "bob" }] },
          "channels" => { "channels" => { "presence-room" => { "user_count" => 2 } } },
          "removed" => bob, "gone" => bob
        },
        "refusals" => {
          "unknown" => 4001, "after" => "disconnected",
          "forged" => { "code" => 4009, "message" => "Invalid signature" }
        }
      )
    end
  end

  {
    "/app/guessed?protocol=7" => 4001, "/app/?protocol=7" => 4005, "/?protocol=7" => 4005,
    "/app/key/x?protocol=7" => 4005, "/app/key?protocol=7&version=new" => 4006,
    "/app/key?protocol=4" => 4007, "/app/key?protocol=8" => 4007, "/app/key" => 4008,
    "/app/key?protocol=" => 4008
  }.each do |target, code|
    it "closes with #{code} on #{target}" do
      client = dial(port: @server.port).tap { |one| one.open(target: target) }
      expect(hear(client)).to include("event" => "pusher:error", "data" => include("code" => code))
      expect(client.read(:close).unpack1("n")).to eq(code)
    end
  end

  ["", "a b", "ä", "x" * 165, "a/b", "a\nb", nil, 3, ["a"], { "a" => "b" }].each do |name|
    it "refuses the channel #{name.inspect[0, 20]}" do
      client, = join
      expect(subscribe(client, name)).to include("event" => "pusher:error",
                                                 "data" => include("code" => 4009))
      expect(answer(client, "pusher:ping")).to eq("event" => "pusher:pong", "data" => {})
    end
  end

  whom = '{"user_id":"eve"}'
  {
    "without a word" => ->(*) { {} },
    "by no String" => ->(*) { { auth: { key: 1 } } },
    "by another secret" => lambda { |socket, name|
      { auth: "key:#{OpenSSL::HMAC.hexdigest("SHA256", "guessed", "#{socket}:#{name}")}" }
    },
    "by another key" => ->(socket, name) { { auth: sign_as("other", socket, name) } },
    "for another socket" => ->(_, name) { { auth: sign_as("key", "1.1", name) } },
    "for another channel" => ->(socket, name) { { auth: sign_as("key", socket, "#{name}2") } },
    "as somebody else" => lambda { |socket, name|
      { auth: sign_as("key", socket, name, '{"user_id":"ada"}'), channel_data: whom }
    },
    "with what was not signed" => lambda { |socket, name|
      { auth: sign_as("key", socket, name), channel_data: whom }
    }
  }.each do |how, data|
    %w[private-room presence-room].each do |name|
      it "lets nobody into #{name} #{how}" do
        client, socket = join
        expect(subscribe(client, name, **instance_exec(socket, name, &data)))
          .to include("event" => "pusher:error", "data" => include("code" => 4009))
        trigger({ name: "secret", channel: name, data: "{}" })
        expect(answer(client, "pusher:ping")).to include("event" => "pusher:pong")
      end
    end
  end

  def sign_as(key, *parts) = "#{key}:#{sign(parts.join(":"))}"

  [nil, "", "no JSON", "[]", "{}", '{"user_id":""}', '{"user_id":null}'].each do |data|
    it "lets nobody be present as #{data.inspect}" do
      client, socket = join
      signed = auth(*[socket, "presence-none", data].compact)
      expect(subscribe(client, "presence-none", auth: signed, channel_data: data))
        .to include("event" => "pusher:error", "data" => include("code" => 4009))
      expect(request("GET", "/apps/id/channels/presence-none/users"))
        .to eq([200, { "users" => [] }])
    end
  end

  {
    "nowhere" => { channel: "private-b", data: {} },
    "on no channel" => { data: {} },
    "on a public channel" => { channel: "public", data: {} },
    "that is too large" => { channel: "private-a", data: "x" * 10_240 }
  }.each do |what, event|
    it "rejects a client event #{what}" do
      client, socket = join
      subscribe(client, "public")
      subscribe(client, "private-a", auth: auth(socket, "private-a"))
      expect(answer(client, "client-x", **event)["data"]).to include("code" => 4301)
    end
  end

  it "rejects client events past 10 a second, and passes on the others" do
    (speaker, socket), (listener, other) = Array.new(2) { join }
    enter(speaker, socket, "presence-fast", "ada")
    enter(listener, other, "presence-fast", "bob")
    expect(hear(speaker)["event"]).to eq("pusher_internal:member_added")
    40.times { |n| say(speaker, "client-x", channel: "presence-fast", data: n) }
    refused = hear(speaker)
    expect(refused["data"]).to include("code" => 4301)
    expect(hear(listener)).to eq("event" => "client-x", "channel" => "presence-fast",
                                 "data" => 0, "user_id" => "ada")
  end

  it "counts a user once, however many sockets he has" do
    (first, one), (second, two) = Array.new(2) { join }
    enter(first, one, "presence-twice", "ada")
    data = JSON.parse(enter(second, two, "presence-twice", "ada")["data"])
    expect(data).to eq("presence" => { "count" => 1, "ids" => ["ada"],
                                       "hash" => { "ada" => { "name" => "ADA" } } })
    second.disconnect
    expect(answer(first, "pusher:ping")["event"]).to eq("pusher:pong")
    expect(request("GET", "/apps/id/channels/presence-twice/users").last)
      .to eq("users" => [{ "id" => "ada" }])
  end

  ["no JSON", "[]", "3", '"x"', "null", "[" * 200,
   '{"event":"\\udc00"}'].each do |nonsense|
    it "says that #{nonsense[0, 10]} is nothing, and goes on" do
      client, = join
      client.text(nonsense)
      expect(hear(client)["data"]).to include("code" => nil)
      expect(answer(client, "pusher:ping")["event"]).to eq("pusher:pong")
    end
  end

  describe "the API" do
    event = { name: "x", channel: "a", data: "{}" }
    {
      "another secret" => { secret: "guessed" },
      "another key" => { changed: { auth_key: "other" } },
      "no key" => { changed: { auth_key: nil } },
      "another version" => { changed: { auth_version: "2.0" } },
      "an old timestamp" => { ago: 700 },
      "a timestamp to come" => { ago: -700 },
      "no timestamp" => { changed: { auth_timestamp: nil } },
      "a timestamp that is none" => { changed: { auth_timestamp: "now" } },
      "another body" => { changed: { body_md5: "0" * 32 } },
      "a body that is not signed" => { changed: { body_md5: nil } },
      "another signature" => { changed: { auth_signature: "0" * 64 } },
      "a short signature" => { changed: { auth_signature: "0" } }
    }.each do |what, options|
      it "refuses #{what} (401)" do
        client, = join
        subscribe(client, "a")
        expect(trigger(event, **options).first).to eq(401)
        expect(answer(client, "pusher:ping")["event"]).to eq("pusher:pong")
      end
    end

    {
      "another application" => ["POST", "/apps/other/events", 404],
      "another path" => ["POST", "/apps/id/event", 404],
      "another method" => ["PUT", "/apps/id/events", 404],
      "no application" => ["GET", "/", 404],
      "users of a public channel" => ["GET", "/apps/id/channels/a/users", 400],
      "a channel that is none" => ["GET", "/apps/id/channels/a%20b", 400]
    }.each do |what, (verb, path, status)|
      it "refuses #{what} (#{status})" do
        expect(request(verb, path, verb == "GET" ? nil : event).first).to eq(status)
      end
    end

    {
      "no JSON" => [400, "x"], "no object" => [400, "[]"],
      "what is not UTF-8" => [400, '{"name":"\\udc00","channel":"a","data":""}'],
      "no name" => [400, event.merge(name: nil)],
      "a long name" => [400, event.merge(name: "x" * 201)],
      "no channel" => [400, event.except(:channel)],
      "a name that is none" => [400, event.merge(channel: "a b")],
      "101 channels" => [400, event.merge(channels: Array.new(101) { |n| "a#{n}" })],
      "channels that are none" => [400, event.merge(channels: { a: 1 })],
      "data that is no String" => [400, event.merge(data: {})],
      "data that is too large" => [413, event.merge(data: "x" * 10_241)],
      "a socket that is none" => [400, event.merge(socket_id: "all")]
    }.each do |what, (status, body)|
      it "refuses an event with #{what} (#{status}), and a batch with it whole" do
        client, = join
        subscribe(client, "a")
        expect(trigger(body).first).to eq(status)
        batch = body.is_a?(Hash) ? { batch: [event, body] } : body
        expect(request("POST", "/apps/id/batch_events", batch).first).to eq(status)
        expect(answer(client, "pusher:ping")["event"]).to eq("pusher:pong")
      end
    end

    [{}, { batch: [] }, { batch: [3] }, { batch: event }, { batch: [event] * 11 }].each do |batch|
      it "refuses the batch #{JSON.generate(batch)[0, 30]}" do
        expect(request("POST", "/apps/id/batch_events", batch).first).to eq(400)
      end
    end

    it "tells which channels are occupied, by how many sockets", :own do
      clients = Array.new(2) { join.first }
      clients.each { |client| subscribe(client, "a") }
      subscribe(clients.first, "b")
      say(clients.first, "pusher:unsubscribe", data: { channel: "a" })
      answer(clients.first, "pusher:ping")
      expect(request("GET", "/apps/id/channels"))
        .to eq([200, { "channels" => { "a" => {}, "b" => {} } }])
      expect(request("GET", "/apps/id/channels", filter_by_prefix: "b").last)
        .to eq("channels" => { "b" => {} })
      expect(request("GET", "/apps/id/channels", info: "user_count").first).to eq(400)
      expect(request("GET", "/apps/id/channels/a", info: "subscription_count").last)
        .to eq("occupied" => true, "subscription_count" => 1)
      expect(request("GET", "/apps/id/channels/c").last).to eq("occupied" => false)
    end
  end

  describe "two of them over one Redis" do
    around do |example|
      next example.run unless Redis::PATH

      Redis.run do |redis|
        env = { "PUBSUB" => (@redis = redis).url }
        Example.run("pusher", env: env) do |one|
          Example.run("pusher", env: env) { |two| @both = [one, two] and example.run }
        end
      end
    end
    before { skip "there is no redis-server (bin/setup unpacks it)" unless Redis::PATH }

    # Has the block run where clients and requests go to this one.
    def at(number)
      @server = @both.fetch(number)
      yield
    end

    # A client of the first, two of the second, and their socket_ids, once Redis knows both.
    def meet(channel)
      all = [0, 1, 1].map { |number| at(number) { join } }
      all.each do |client, socket|
        expect(subscribe(client, channel, auth: auth(socket, channel))["event"])
          .to eq("pusher_internal:subscription_succeeded")
      end
      name = "em-websocket:id/#{channel}"
      sleep 0.01 until @redis.call("PUBSUB", "NUMSUB", name, options: ["--raw"]).end_with?("\n2\n")
      all
    end

    it "pass on what is published at either, but for the client that it is not for" do
      all = meet("private-room")
      clients, sockets = all.transpose
      [0, 1].product([*sockets, "1.1", nil]).each do |number, socket|
        event = { name: "news", channels: ["private-room"], data: "#{number} #{socket}" }
        event[:socket_id] = socket if socket
        expect(at(number) { trigger(event) }).to eq([200, {}])
        told = { "channel" => "private-room", "event" => "news", "data" => event[:data] }
        (clients - [all.to_h.key(socket)]).each { |client| expect(hear(client)).to eq(told) }
      end
    end

    it "pass on what clients say to each other" do
      first, second, third = meet("private-room").map(&:first)
      [[first, [second, third]], [second, [first, third]]].each do |speaker, others|
        said = { channel: "private-room", data: { "text" => "Grüße" } }
        say(speaker, "client-said", **said)
        told = { "event" => "client-said", **said.transform_keys(&:to_s) }
        expect(others.map { |client| hear(client) }).to all(eq(told))
        expect(answer(speaker, "pusher:ping")["event"]).to eq("pusher:pong")
      end
    end
  end

  it "asks clients to come back when it ends, whatever they still say" do
    @server = Example.new("pusher")
    client, = join
    Process.kill("TERM", @server.pid)
    expect(client.read(:close).unpack1("n")).to eq(4200)
    say(client, "pusher:ping")
    client.text("no JSON")
    client.close(4200)
    @server.join
    expect(@server.said.lines.size).to eq(1)
  ensure
    @server.kill
  end
end
