# frozen_string_literal: true

# A server of Pusher's protocol (7): pusher-js and Pusher's other clients connect to it, and its
# libraries for servers publish to it, as they are.
#
#   PUSHER_APPS="id:key:secret id2:key2:secret2" ruby -Ilib examples/pusher.rb [port]
#
#   new Pusher("key", { cluster: "", wsHost: "127.0.0.1", wsPort: 8080, forceTLS: false,
#                       enabledTransports: ["ws"] });
#   new Pusher({ appId: "id", key: "key", secret: "secret", host: "127.0.0.1", port: 8080 });
#
# There are no webhooks, no cache- channels, no signing in. Channels and presence know who is where.
# With PUBSUB=redis://127.0.0.1:6379 several of these are one: events reach the clients of all.

require "em-websocket"
require "json"
require "openssl"
require "securerandom"
require "uri"

$stdout.sync = true

# One application, and what is signed with its secret.
App = Struct.new(:id, :key, :secret) do
  def signed?(signature, text)
    expected = OpenSSL::HMAC.hexdigest("SHA256", secret, text)
    OpenSSL.secure_compare(signature.to_s, expected)
  end

  # A channel of this library.
  def channel(name) = "#{id}/#{name}"

  # @return [Hash{String => Integer}] channels that somebody is subscribed to, and how many sockets
  def occupied = EM::WebSocket.num_subscribers(channel("*")).transform_keys { File.basename(_1) }

  def users(name) = EM::WebSocket.presence(channel(name))

  # @param except [Client, String, nil] one that it is not for; the id of another process's client
  def publish(name, event, except: nil)
    text = JSON.generate({ channel: name, **event })
    return relay << JSON.generate([name, except, text]) if except.is_a?(String)

    EM::WebSocket.publish(channel(name), text, except: except&.connection)
  end

  # Events that each process tells its own clients, but for the one that it is not for.
  def relay = EM::WebSocket::Channel.new("#{id} relay")

  # Tells who is in a presence channel that somebody has come, or gone.
  def announce(channel, event, data)
    name = channel.delete_prefix("#{id}/")
    publish(name, { event: "pusher_internal:#{event}", data: JSON.generate(data) })
  end
end

# The protocol's error, or the API's status, and why.
class Refused < StandardError
  attr_reader :code

  def initialize(code, message) = super(message).then { @code = code }
end

# Rules for the names of channels and events.
module Names
  MOST_DATA = 10_240 # bytes of an event

  module_function

  def object(text, code)
    value = JSON.parse(text)
    JSON.generate(value) # raises where it has half of a surrogate pair
    value.is_a?(Hash) ? value : raise(Refused.new(code, "No object"))
  rescue JSON::JSONError
    raise Refused.new(code, "No JSON")
  end

  def channel?(name) = name.is_a?(String) && name.match?(/\A[-\w=@,.;]{1,164}\z/)
  def event?(name) = name.is_a?(String) && name.length.between?(1, 200)
  def private?(name) = name.start_with?("private-", "presence-")
  def presence?(name) = name.start_with?("presence-")
end

# One client: what it says, and what it is told.
class Client
  EVENTS_PER_SECOND = 10

  attr_reader :id, :connection

  # @return [Array(Integer, String), nil] the error of an address that is none
  def self.error_of(handshake, app)
    version, protocol = handshake.query.values_at("version", "protocol")
    return [4005, "Path not found"] unless handshake.path.match?(%r{\A/app/[^/]+\z})
    return [4001, "Could not find app by its key"] unless app
    return [4006, "Invalid version"] unless version.nil? || version.match?(/\A\d+(\.\d+)*/)
    return [4008, "No protocol version supplied"] if protocol.to_s.empty?

    [4007, "Unsupported protocol version: 7 is spoken"] unless protocol == "7"
  end

  def initialize(connection, app)
    @connection = connection
    @app = app
    @id = "#{SecureRandom.random_number(10**9)}.#{SecureRandom.random_number(10**9)}"
    @users = {} # the channels that it is subscribed to, and who it is there
    tell("pusher:connection_established", JSON.generate(socket_id: @id, activity_timeout: 120))
  end

  def heed(text)
    message = Names.object(text, nil)
    data = message["data"].is_a?(Hash) ? message["data"] : {}
    case message["event"]
    when "pusher:ping" then tell("pusher:pong", {})
    when "pusher:subscribe" then subscribe(data["channel"], data)
    when "pusher:unsubscribe" then unsubscribe(data["channel"])
    when /\Aclient-./ then pass_on(*message.values_at("channel", "event", "data"))
    end
  rescue Refused => e
    tell("pusher:error", { code: e.code, message: e.message })
  end

  def in?(app, name) = app == @app && @users.key?(name)

  private

  def subscribe(name, data)
    user, info = authorize(name, data)
    channel = @app.channel(name)
    @connection.join(channel, id: user, info: { info: info }, grace: 0) if user
    @connection.subscribe(channel)
    @users[name] = user
    tell("pusher_internal:subscription_succeeded", JSON.generate(user ? here(name) : {}), name)
  end

  # User that the client is there, as the application's server says; nil where nobody is asked.
  def authorize(name, data)
    raise Refused.new(4009, "Invalid channel name") unless Names.channel?(name)
    raise Refused.new(4009, "Too many channels") unless @users.size < 500
    return unless Names.private?(name)

    key, signature = data["auth"].to_s.split(":", 2)
    whom = data["channel_data"]
    unless key == @app.key && @app.signed?(signature, [@id, name, whom].compact.join(":"))
      raise Refused.new(4009, "Invalid signature")
    end

    return unless Names.presence?(name)

    user = Names.object(whom.to_s, 4009)
    id = user["user_id"].to_s
    id.empty? ? raise(Refused.new(4009, "Invalid user_id")) : [id, user["user_info"]]
  end

  def here(name)
    users = @app.users(name).transform_values { |info| info[:info] }
    { presence: { count: users.size, ids: users.keys, hash: users } }
  end

  def unsubscribe(name)
    return unless @users.key?(name)

    user = @users.delete(name)
    @connection.unsubscribe(@app.channel(name))
    @connection.leave(@app.channel(name)) if user
  end

  # An event of a client's, to the others.
  def pass_on(name, event, data)
    refusal =
      if !@users.key?(name) then "not subscribed to the channel"
      elsif !Names.private?(name) then "not on a public channel"
      elsif !Names.event?(event) then "the event's name is too long"
      elsif JSON.generate(data).bytesize > Names::MOST_DATA then "the data is too large"
      elsif too_many? then "more than #{EVENTS_PER_SECOND} a second"
      end
    raise Refused.new(4301, "Client event rejected: #{refusal}") if refusal

    event = { event: event, data: data, user_id: @users[name] }.compact
    @app.publish(name, event, except: self)
  end

  def too_many?
    before = @second
    @second = Process.clock_gettime(Process::CLOCK_MONOTONIC, :second)
    @events = @second == before ? @events + 1 : 1
    @events > EVENTS_PER_SECOND
  end

  def tell(event, data, channel = nil)
    return unless @connection.state == :connected

    @connection.send(JSON.generate({ event: event, data: data, channel: channel }.compact))
  end
end

# Requests of applications by HTTP, each request signed. Clients are this process's, by their ids.
Api = Struct.new(:apps, :clients) do
  # @return [Array(Integer, String)] the status and the body
  def call(request)
    id, what = request.path.b.match(%r{\A/apps/([^/]+)/(.+)\z})&.captures
    app = apps.find { |one| one.id == id } || raise(Refused.new(404, "Unknown app"))
    query = authenticate(app, request)
    body = answer(app, request.request_method, what, query, request.body)
    [200, JSON.generate(body)]
  rescue Refused => e
    [e.code, JSON.generate(error: e.message)]
  rescue ArgumentError # of a % that is none
    [400, JSON.generate(error: "Invalid query")]
  end

  private

  # @return [Hash{String => String}] the query
  def authenticate(app, request)
    query = URI.decode_www_form(request.query_string).to_h.transform_keys(&:downcase)
    signature = query.delete("auth_signature")
    pairs = query.sort.map { |pair| pair.join("=") }.join("&")
    signed = [request.request_method, request.path, pairs].join("\n")
    time = Integer(query["auth_timestamp"], 10, exception: false)
    digest = OpenSSL::Digest::MD5.hexdigest(request.body)
    refuse_false 401, "auth_signature" => app.signed?(signature, signed),
                      "auth_key" => query["auth_key"] == app.key,
                      "auth_version" => query["auth_version"] == "1.0",
                      "auth_timestamp" => !time.nil? && (Time.now.to_i - time).abs <= 600,
                      "body_md5" => request.body.empty? || query["body_md5"] == digest
    query
  end

  def refuse_false(status, valid)
    invalid = valid.key(false)
    raise Refused.new(status, "#{invalid}: invalid") if invalid
  end

  def answer(app, verb, what, query, body)
    case [verb, *what.split("/", -1)]
    in ["POST", "events"] then trigger(app, [Names.object(body, 400)])
    in ["POST", "batch_events"] then trigger(app, Names.object(body, 400)["batch"])
    in ["GET", "channels"] then channels(app, query)
    in ["GET", "channels", name] then channel(app, name_of(name), query["info"])
    in ["GET", "channels", name, "users"] then { users: users(app, name_of(name)) }
    else raise Refused.new(404, "No such resource")
    end
  end

  # Either all of them are published or, where one is none, nothing.
  def trigger(app, batch)
    known = batch.is_a?(Array) && batch.size.between?(1, 10) && batch.all?(Hash)
    refuse_false(400, "batch" => known)
    batch.each { |event| check(event) }.each do |event|
      told = { event: event["name"], data: event["data"] }
      except = clients.fetch(event["socket_id"]&.to_s) { |socket| socket }
      names_in(event).each { |name| app.publish(name, told, except: except) }
    end
    {}
  end

  def check(event)
    names, data, socket = names_in(event), *event.values_at("data", "socket_id")
    known = names.size.between?(1, 100) && names.all? { |name| Names.channel?(name) }
    refuse_false 400, "name" => Names.event?(event["name"]), "data" => data.is_a?(String),
                      "channels" => known,
                      "socket_id" => socket.nil? || socket.to_s.match?(/\A\d+\.\d+\z/)
    refuse_false(413, "data" => data.bytesize <= Names::MOST_DATA)
  end

  def names_in(event) = Array(event["channels"] || event["channel"])

  def channels(app, query)
    prefix, info = query.values_at("filter_by_prefix", "info")
    refuse_false(400, "info" => info.nil? || Names.presence?(prefix.to_s))
    names = app.occupied.select { |name, _| name.start_with?(prefix.to_s) }
    { channels: names.to_h { |name, count| [name, info(app, name, count, info)] } }
  end

  def channel(app, name, wanted)
    count = app.occupied[name].to_i
    { occupied: count.positive?, **info(app, name, count, wanted) }
  end

  def info(app, name, count, wanted)
    users = app.users(name).size if Names.presence?(name)
    { subscription_count: count, user_count: users }
      .compact.slice(*wanted.to_s.split(",").map(&:to_sym))
  end

  def users(app, name)
    refuse_false(400, "channel" => Names.presence?(name))
    app.users(name).keys.map { |id| { id: id } }
  end

  def name_of(text)
    URI.decode_www_form_component(text)
       .tap { |name| refuse_false(400, "channel" => Names.channel?(name)) }
  end
end

apps = ENV.fetch("PUSHER_APPS", "id:key:secret").split.map { |app| App.new(*app.split(":", 3)) }
api = Api.new(apps, clients = {})
EM::WebSocket.pubsub = ENV.fetch("PUBSUB", nil)

apps.each do |app|
  app.relay.subscribe do |text|
    name, except, told = JSON.parse(text)
    others = clients.except(except).each_value.select { |client| client.in?(app, name) }
    EM::WebSocket.broadcast(others.map(&:connection), told)
  end
  EM::WebSocket.channels do
    onjoin(app.channel("presence-*")) do |channel, id, info|
      app.announce(channel, "member_added", { user_id: id, user_info: info[:info] })
    end
    onleave(app.channel("presence-*")) do |channel, id|
      app.announce(channel, "member_removed", { user_id: id })
    end
  end
end

accept = lambda do |ws, handshake|
  app = apps.find { |one| handshake.path == "/app/#{one.key}" }
  if (code, message = Client.error_of(handshake, app))
    ws.send(JSON.generate(event: "pusher:error", data: { code: code, message: message }))
    next ws.close(code, message)
  end

  client = Client.new(ws, app)
  clients[client.id] = client
  ws.onmessage { |text| client.heed(text) }
  ws.onclose { clients.delete(client.id) }
end

EM.run do
  finish = proc do
    clients.each_value { |client| client.connection.close(4200, "Come back") }
    EM::WebSocket.shutdown(10) { EM.stop }
  end
  %w[INT TERM].each { |signal| trap(signal, &finish) }

  server = EM::WebSocket.run(host: ENV.fetch("HOST", "127.0.0.1"),
                             port: ARGV[0] || ENV["PORT"] || 8080, ping_interval: 60,
                             max_message_size: 64 * 1024, outbound_limit: 4 * 1024 * 1024,
                             http: { "/health" => :health }) do |ws|
    ws.onopen { |handshake| accept.call(ws, handshake) }
    ws.onerror { |error| warn "#{error.class}: #{error.message}" }
    ws.onhttp do |request, response|
      response.headers["Content-Type"] = "application/json"
      response.status, response.body = api.call(request)
    end
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Speaking Pusher's protocol on ws://127.0.0.1:#{port}/app/#{apps.first.key}"
end
