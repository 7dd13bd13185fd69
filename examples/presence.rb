# frozen_string_literal: true

# Who is looking at a page: each visitor once, however many tabs he has, and a tab that is loaded
# again has neither gone nor come.
#
#   ruby -Ilib examples/presence.rb [port] [grace]     (8080, 5 seconds; port 0: any free port)
#
# server   {"members": {"3fa1...": {"name": "Ada", "away": false}}, "you": "3fa1..."}, and then
#          {"is": "here", "id": "91c0...", "info": {...}}, and the same with "changed" and "gone"
# browser  {"name": "Ada", "away": true}

require "em-websocket"
require "digest"
require "json"
require "securerandom"

$stdout.sync = true

# The visitors of one page.
class Visitors
  ROOM = "page:visitors"
  LONGEST_NAME = 32
  COOKIE = /(?:\A|;\s*)visitor=(\h{32})(?:;|\z)/

  # The page, with a cookie for who has none: it says that two tabs are one visitor.
  def self.page(request, html)
    headers = { "Content-Type" => "text/html; charset=utf-8", "Cache-Control" => "no-store" }
    unless COOKIE.match?(request.headers_downcased["cookie"].to_s)
      headers["Set-Cookie"] = "visitor=#{SecureRandom.hex}; Path=/; HttpOnly; SameSite=Strict"
    end
    [200, headers, html]
  end

  def initialize(grace)
    @grace = grace
    tell = method(:tell)
    EM::WebSocket.channels do
      onjoin(ROOM) { |_, id, info| tell.call("here", id, info) }
      onupdate(ROOM) { |_, id, info| tell.call("changed", id, info) }
      onleave(ROOM) { |_, id, info| tell.call("gone", id, info) }
    end
  end

  def come(ws, handshake)
    secret = handshake.headers_downcased["cookie"].to_s[COOKIE, 1] || SecureRandom.hex
    # Others see the id, and must not be able to come by it.
    id = Digest::SHA256.hexdigest(secret)[0, 16]
    known = EM::WebSocket.presence(ROOM)[id]
    ws.join(ROOM, id: id, info: known || { name: "Guest #{id[0, 4]}", away: false }, grace: @grace)
    ws.subscribe(ROOM)
    ws.send(JSON.generate(members: EM::WebSocket.presence(ROOM), you: id))
    ws.onmessage { |text| change(ws, id, text) }
  end

  private

  # Joining once more, by the same id, changes what others may know.
  def change(ws, id, text)
    wish = JSON.parse(text)
    return ws.close(4400, "not an object") unless wish.is_a?(Hash)

    name = wish["name"].to_s.strip[0, LONGEST_NAME]
    info = { name: name.empty? ? "Guest #{id[0, 4]}" : name, away: wish["away"] == true }
    ws.join(ROOM, id: id, info: info, grace: @grace)
  rescue JSON::ParserError
    ws.close(4400, "not JSON")
  end

  def tell(what, id, info)
    puts "#{info[:name]} is #{what}"
    EM::WebSocket.publish(ROOM, JSON.generate(is: what, id: id, info: info))
  end
end

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  html = File.read(File.join(__dir__, "presence.html"))
  visitors = Visitors.new(Float(ARGV[1] || 5))
  server = EM::WebSocket.run(host: "127.0.0.1", port: ARGV[0] || ENV["PORT"] || 8080,
                             ping_interval: 20,
                             http: { "/" => ->(request) { Visitors.page(request, html) } }) do |ws|
    ws.onopen { |handshake| visitors.come(ws, handshake) }
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Open http://127.0.0.1:#{port}/ in two browsers."
end
