# frozen_string_literal: true

# Streams long answers token by token, as language models give them, and stops where the client
# cancels or leaves.
#
#   ruby -Ilib examples/answers.rb [port]      (8080 by default; 0: any free port)
#
# client  {"ask": "why?"}          server  {"token": "Because"}, {"token": " it"}, ...
#         {"cancel": true}                 {"done": true, "cancelled": true}

require "em-websocket"
require "json"

$stdout.sync = true

# Stands in for a model, or for a client of its HTTP API: yields one token after the other, and
# takes its time for each.
module Model
  TOKENS = "It depends on whom you ask, and on what you want to do with the answer."
           .split(/(?= )/).cycle

  def self.each_token(_question)
    TOKENS.first(1_000).each do |token|
      sleep 0.01
      yield token
    end
  end
end

# One answer, in a thread of its own: `send` may be called from any.
class Answer
  def initialize(connection, question)
    @connection = connection
    @drained = Thread::Queue.new
    @thread = Thread.new { stream(question) }
  end

  def going? = @thread.alive?

  # Noticed with the next token.
  def cancel
    @cancelled = true
    drained
  end

  # The client has taken what it was sent.
  def drained
    @drained << true
  end

  private

  def stream(question)
    Model.each_token(question) do |token|
      break if @cancelled

      say(token: token)
      wait
    end
    say(done: true, cancelled: @cancelled ? true : false)
  rescue EM::WebSocket::WebSocketError
    nil # the connection is closing
  end

  # A slow client must not make the answer pile up here.
  def wait
    @drained.pop while !@cancelled && @connection.buffered_amount > @connection.outbound_high_water
  end

  def say(message)
    @connection.send(JSON.generate(message))
  end
end

# Requests of one client: one answer at a time.
module Conversation
  def self.with(connection)
    answer = nil
    connection.onmessage do |text|
      case JSON.parse(text, symbolize_names: true)
      in { cancel: true } then answer&.cancel
      in { ask: String => question }
        next connection.close(4409, "one answer at a time") if answer&.going?

        answer = Answer.new(connection, question)
      end
    rescue JSON::ParserError, NoMatchingPatternError
      connection.close(4400, "ask or cancel")
    end
    connection.ondrain { answer&.drained }
    connection.onclose { answer&.cancel }
  end
end

EM.run do
  %w[INT TERM].each { |signal| trap(signal) { EM.stop } }

  server = EM::WebSocket.run(host: "127.0.0.1", port: ARGV[0] || ENV["PORT"] || 8080) do |ws|
    Conversation.with(ws)
  end

  port, = Socket.unpack_sockaddr_in(EM.get_sockname(server))
  puts "Answering on ws://127.0.0.1:#{port}/"
end
