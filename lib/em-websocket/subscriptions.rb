# frozen_string_literal: true

require_relative "channel"
require_relative "channels"
require_relative "gaps"
require_relative "presence"
require_relative "pubsub"
require_relative "transport"

module EventMachine
  module WebSocket
    # The channels that a {Connection} is subscribed to. A connection that ends leaves them.
    #
    # An application's own methods of these names win, and nothing of this library's calls them.
    module Subscriptions
      # The default of `:max_subscriptions`.
      #
      # @api private
      MOST = 1_000

      # @api private
      # @return [String, nil]
      def self.position(since)
        return since if since.nil? || since.is_a?(String)

        raise ArgumentError, "since: #{Checks.shown(since)} is no position of a channel"
      end

      # Subscribes the connection: it is sent what is {WebSocket.publish published} to the channel
      # from now on. Once more is nothing. May be called from any thread.
      #
      # With `since:`, it is sent first what was published after that position, if all of it is
      # still {ChannelRules#history kept}: nothing is missing, and nothing comes twice.
      #
      # History that is in common with other processes ({WebSocket.pubsub=}) has to be loaded first,
      # of a channel that nobody here is subscribed to: then the subscription with `since:` begins,
      # and the block is called, once it is. The position is nil until then.
      #
      # @param name [String] of the channel: 1 to 255 bytes of UTF-8
      # @param since [String, nil] the position that the client has come to, as it says; one that
      #   is none is lost
      # @yieldparam recovered [Boolean] true: what was missed has been sent; false: it is lost, and
      #   nothing was sent. Called at once, where nothing has to be loaded, and only with `since:`
      # @return [String, nil] the position that the channel has come to; nil where no history is
      #   kept, or none is known yet, and where the connection is gone
      # @raise [WebSocketError] before `onopen`; with `since:`, where it is subscribed already
      # @raise [SubscriptionLimitError] past the `:max_subscriptions`
      # @raise [ArgumentError] if that can be no name, or the position is no String
      def subscribe(name, since: nil, &block)
        since = Subscriptions.position(since)
        return Subscriptions.begin(self, name, since, block) unless PubSub.active?

        Subscriptions.begin_shared(self, name, since, block)
      end

      # Sets what is called when messages of other processes may be missing in a channel that the
      # connection is subscribed to, because the broker was away: what they were about has to be
      # asked for anew. A channel with history fills the gap where it can, and says nothing then.
      # Without a block, and without the option `gap: :close`, nothing is said.
      #
      # @example Have the client load its state again
      #   ws.ongap { |channel| ws.send({ reload: channel }.to_json) }
      # @yieldparam channel [String] its name; on the reactor's thread
      # @return [Proc] the block
      def ongap(&block)
        Transport.of(self).cold_state!.ongap = block
        Gaps.add(self)
        block
      end

      # Ends the subscription; what was published before is sent. May be called from any thread.
      #
      # @param name [String, nil] nil: of all channels
      # @return [nil]
      # @raise [ArgumentError] if that can be no name
      def unsubscribe(name = nil)
        Subscriptions.cancel(self, name)
        subscriber = Subscriptions.of(self)
        name.nil? ? subscriber.unsubscribe_all : subscriber.unsubscribe(name)
        nil
      end

      # @return [Array<String>] the names of the channels that it is subscribed to
      def subscriptions
        Subscriptions.of(self).subscriptions
      end

      # Says who the connection is in a channel, for {WebSocket.presence}; it need not be
      # subscribed. An id is there once, however many connections have it. Once more with another
      # info changes that; with another id, the connection leaves as the former. May be called from
      # any thread.
      #
      # When the connection ends, and was the last of its id, that is gone after a time of grace:
      # a page that is loaded again has neither left nor come.
      #
      # @param name [String] of the channel
      # @param id [Object] a key of a Hash; an Integer or a String of the application's
      # @param info [Hash] what others may know; of several connections the last one's holds. It is
      #   copied
      # @param grace [Numeric] seconds; 0: none
      # @return [Boolean, nil] whether the id was not there; nil where the connection is gone
      # @raise [WebSocketError] before `onopen`
      # @raise [SubscriptionLimitError] past the `:max_subscriptions`
      # @raise [ArgumentError] if one of them cannot be what it is
      def join(name, id:, info: {}, grace: Presence::GRACE)
        Presence.join(self, name, [id, info, grace], Subscriptions.most(self))
      end

      # Ends what {#join} has said. An id that has no other connection is gone at once. May be
      # called from any thread.
      #
      # @param name [String]
      # @return [nil]
      # @raise [ArgumentError] if that can be no name
      def leave(name)
        Presence.leave(self, name)
      end

      # Subscribes a connection now.
      #
      # @api private
      # @param block [Proc, nil]
      # @return [String, nil]
      def self.begin(connection, name, since, block)
        position, recovered = of(connection).subscribe(name, since, most(connection))
        block&.call(recovered) unless recovered.nil?
        position
      end

      # Subscribes a connection, where channels are in common with other processes: with a position,
      # once the history is here.
      #
      # @api private
      # @param block [Proc, nil]
      # @return [String, nil]
      def self.begin_shared(connection, name, since, block)
        Gaps.watch(connection)
        return self.begin(connection, name, nil, nil) unless since

        cancel(connection, name)
        awaited = Transport.of(connection).cold_state!.awaited ||= {}
        position = nil
        waiting = lambda do
          # Nobody has cancelled it.
          if awaited[name].equal?(waiting)
            awaited.delete(name)
            position = self.begin(connection, name, since, block)
          end
        rescue WebSocketError => e
          Transport.application_error(connection, e)
        end
        awaited[name.dup.freeze] = waiting
        PubSub.loaded?(name, &waiting)
        position
      rescue ArgumentError
        cancel(connection, name)
        raise
      end

      # Ends what waits for history: it is not wanted any more, or the connection is gone.
      #
      # @api private
      # @param name [String, nil] nil: of all channels
      def self.cancel(connection, name = nil)
        awaited = Transport.of(connection).cold_state&.awaited or return
        (name.nil? ? awaited.keys : [name]).each do |channel|
          waiting = awaited.delete(channel)
          PubSub.cancel(channel, waiting) if waiting
        end
      end

      # @api private
      # @return [Integer] how many channels a connection may be in
      def self.most(connection)
        Transport.of(connection).max_subscriptions(connection) || MOST
      end

      # @api private
      # @return [Native::Connection, Transport::AttachedSubscriber]
      def self.of(connection)
        Transport.of(connection).subscriber(connection)
      end
    end
  end
end
